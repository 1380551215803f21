"""What must be true of ``infra/docker-compose.yml``, beyond being well-formed."""

import importlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
from pydantic_settings import BaseSettings

from core.services import SERVICES
from penstock.connection import DatabaseConnection, KafkaConnection, PipelineNames

SCHEMA = Path(__file__).with_name("compose.schema.json")
SERVERS = frozenset({"kafka", "postgres"})
ONE_SHOT = "prepare"
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)(:-|:\?)?")

Compose = Mapping[str, Any]


def compose_findings(compose: Compose, text: str, env_example: str) -> list[str]:
    """Say everything that is wrong; nothing wrong is an empty list."""
    errors = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).iter_errors(compose)
    findings = [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in errors]
    if findings:
        return findings
    return [
        *_services(compose),
        *_dependencies(compose),
        *_health(compose),
        *_volumes(compose),
        *_images(compose),
        *_variables(text, env_example),
        *_settings(compose),
    ]


def _services(compose: Compose) -> Iterator[str]:
    expected = {spec.name for spec in SERVICES}
    found = set(compose["services"]) - SERVERS - {ONE_SHOT}
    if found != expected:
        yield f"services differ from core/services.py: {sorted(found ^ expected)}"
    for name in sorted(found & expected):
        command = compose["services"][name].get("command")
        if command != [f"services.{name}"]:
            yield f"{name}: command is {command}, not ['services.{name}']"


def _dependencies(compose: Compose) -> Iterator[str]:
    services = compose["services"]
    for name, service in services.items():
        waits_for = service.get("depends_on", {})
        for other, how in waits_for.items():
            if other not in services:
                yield f"{name} depends on {other}, which does not exist"
            elif how["condition"] == "service_healthy" and "test" not in services[other]["healthcheck"]:
                yield f"{name} waits for {other} to be healthy, but it has no health check"
            elif how["condition"] == "service_completed_successfully" and services[other]["restart"] != "no":
                yield f"{name} waits for {other} to end, but it is restarted"
        if name not in SERVERS | {ONE_SHOT} and waits_for.get(ONE_SHOT, {}).get("condition") != (
            "service_completed_successfully"
        ):
            yield f"{name} does not wait for {ONE_SHOT} to end well"


def _health(compose: Compose) -> Iterator[str]:
    for spec in SERVICES:
        test = compose["services"].get(spec.name, {}).get("healthcheck", {}).get("test", [])
        if not any("/readyz" in word for word in test):
            yield f"{spec.name}: its health check does not ask /readyz"


def _volumes(compose: Compose) -> Iterator[str]:
    named = {
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", [])
        if volume[0] not in "./$"
    }
    if named != set(compose["volumes"]):
        yield f"volumes used and declared differ: {sorted(named ^ set(compose['volumes']))}"
    for name in SERVERS & set(compose["services"]):
        if not compose["services"][name].get("volumes"):
            yield f"{name}: keeps its data nowhere"


def _images(compose: Compose) -> Iterator[str]:
    for name, service in compose["services"].items():
        if service["image"].endswith(":latest"):
            yield f"{name}: the tag latest names another image tomorrow"


def _variables(text: str, env_example: str) -> Iterator[str]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    used = {name: how for line in lines for name, how in _VARIABLE.findall(line)}
    offered = set(re.findall(r"^([A-Z0-9_]+)=", env_example, re.MULTILINE))
    if used.keys() != offered:
        yield f"variables of the file and of .env.example differ: {sorted(used.keys() ^ offered)}"
    for name, how in used.items():
        if not how:
            yield f"${{{name}}} has neither a default nor a message"


def _settings(compose: Compose) -> Iterator[str]:
    """A misspelt setting is ignored by the service that should have read it."""
    for spec in SERVICES:
        given = compose["services"].get(spec.name, {}).get("environment", {})
        for name in sorted(set(given) - known_settings(spec.name)):
            yield f"{spec.name}: reads no setting {name}"


def known_settings(service: str) -> set[str]:
    """Give the environment variables one service reads, from its settings classes."""
    module = importlib.import_module(f"services.{service}.settings")
    own: list[type[BaseSettings]] = [
        kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, BaseSettings)
    ]
    kinds: list[type[BaseSettings]] = [KafkaConnection, DatabaseConnection, PipelineNames, *own]
    return {
        f"{kind.model_config.get('env_prefix', '')}{field}".upper()
        for kind in kinds
        for field in kind.model_fields
    }
