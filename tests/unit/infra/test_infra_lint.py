"""The checks of ``infra/`` bite, and ``infra/`` passes them."""

import base64
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters.embedded.jars import locked_jars
from core.services import SERVICES
from tests.support.compose_rules import compose_findings, known_settings
from tests.support.dockerfile_rules import dockerfile_findings, instructions
from tests.support.infra_lint import ROOT, findings
from tests.support.servers import POSTGRES_IMAGE

INFRA = ROOT / "infra"
TEXT = (INFRA / "docker-compose.yml").read_text()
ENV = (INFRA / ".env.example").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
DOCKERFILE = (INFRA / "Dockerfile").read_text()

Change = Callable[[dict[str, Any]], object]


def _after(change: Change) -> list[str]:
    compose = copy.deepcopy(COMPOSE)
    change(compose["services"])
    return compose_findings(compose, TEXT, ENV)


def test_compose_and_image_pass() -> None:
    assert findings() == []


def test_compose_runs_the_versions_that_are_embedded_and_tested() -> None:
    (version,) = {jar.version for jar in locked_jars() if jar.artifact == "kafka_2.13"}
    assert COMPOSE["services"]["kafka"]["image"] == f"apache/kafka:{version}"
    assert COMPOSE["services"]["postgres"]["image"] == POSTGRES_IMAGE


def test_the_cluster_id_is_what_kafka_takes() -> None:
    identity = COMPOSE["services"]["kafka"]["environment"]["CLUSTER_ID"]
    assert len(base64.urlsafe_b64decode(identity + "==")) == 16


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: s.pop("ingest"), "services differ from core/services.py: ['ingest']"),
        (lambda s: s.update(extra=s["ingest"]), "services differ from core/services.py: ['extra']"),
        (lambda s: s["ingest"].update(command=["services.executor"]), "ingest: command is"),
        (lambda s: s["ingest"]["depends_on"].pop("prepare"), "ingest does not wait for prepare"),
        (lambda s: s["ingest"]["depends_on"].update(redis={"condition": "service_started"}), "not exist"),
        (lambda s: s["prepare"].update(restart="always"), "waits for prepare to end, but it is restarted"),
        (lambda s: s["kafka"].update(healthcheck={"disable": True}), "but it has no health check"),
        (lambda s: s["ingest"]["healthcheck"].update(test=["CMD", "true"]), "does not ask /readyz"),
        (lambda s: s["kafka"].update(volumes=["other:/data"]), "volumes used and declared differ"),
        (lambda s: s["postgres"].pop("volumes"), "postgres: keeps its data nowhere"),
        (lambda s: s["kafka"].update(image="apache/kafka:latest"), "the tag latest"),
        (lambda s: s["executor"]["environment"].update(PENSTOCK_SLOT="9"), "reads no setting PENSTOCK_SLOT"),
    ],
)
def test_a_mistake_in_compose_is_named(change: Change, expected: str) -> None:
    assert any(expected in finding for finding in _after(change)), _after(change)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["ingest"].update(restarts="always"),
        lambda s: s["ingest"].update(command="services.ingest"),
        lambda s: s["ingest"].update(image="penstock"),
        lambda s: s["ingest"]["depends_on"].update(kafka={"condition": "healthy"}),
        lambda s: s["ingest"]["healthcheck"].update(interval="15"),
        lambda s: s["ingest"]["healthcheck"].update(test="curl localhost"),
        lambda s: s["kafka"].update(ports=["9092:9092"]),
        lambda s: s["ingest"].pop("healthcheck"),
        lambda s: s["ingest"].update(environment=["A=b"]),
        lambda s: s["ingest"].update(restart=False),
    ],
)
def test_what_the_schema_does_not_allow_is_found(change: Change) -> None:
    assert _after(change)


def test_a_variable_that_the_example_does_not_offer_is_found() -> None:
    assert any(
        "PENSTOCK_SLOTS" in f for f in compose_findings(COMPOSE, TEXT, ENV.replace("PENSTOCK_SLOTS", "X"))
    )


def test_a_variable_without_default_or_message_is_found() -> None:
    text = TEXT.replace("${PENSTOCK_SLOTS:-32}", "${PENSTOCK_SLOTS}")
    assert any("neither a default" in finding for finding in compose_findings(COMPOSE, text, ENV))


@pytest.mark.parametrize("spec", SERVICES)
def test_every_service_reads_how_to_reach_kafka(spec: Any) -> None:
    assert {"PENSTOCK_KAFKA_BOOTSTRAP", "PENSTOCK_PARTITIONS", "PENSTOCK_LOG_LEVEL"} <= known_settings(
        spec.name
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("USER 10001", "USER root", "runs as root"),
        ("USER 10001", "", "runs as root"),
        ("FROM python:3.13-slim\n", "FROM python:latest\n", "not pinned"),
        ("FROM python:3.13-slim\n", "FROM python\n", "not pinned"),
        ("HEALTHCHECK", "# HEALTHCHECK", "no HEALTHCHECK"),
        ('ENTRYPOINT ["python", "-m"]', "ENTRYPOINT python -m", "through a shell"),
        ("--require-hashes -r image.txt", "-r image.txt", "without --require-hashes"),
        ("COPY core core", "ADD core core", "use COPY"),
        ("COPY core core", "COPY cores core", "copies cores, which does not exist"),
        ("--from=build", "--from=builder", "which is no stage above"),
    ],
)
def test_a_mistake_in_the_dockerfile_is_named(old: str, new: str, expected: str) -> None:
    assert old in DOCKERFILE
    found = dockerfile_findings(DOCKERFILE.replace(old, new), ROOT)
    assert any(expected in finding for finding in found), found


def test_an_image_of_one_stage_is_refused(tmp_path: Path) -> None:
    assert dockerfile_findings("FROM python:3.13-slim\nUSER 1\n", tmp_path)


def test_continued_lines_are_one_instruction_at_its_first_line() -> None:
    found = instructions("# c\nFROM a:1\nRUN b \\\n  # why\n  && c\nUSER 1\n")
    assert [(one.line, one.name, one.argument) for one in found] == [
        (2, "FROM", "a:1"),
        (3, "RUN", "b && c"),
        (6, "USER", "1"),
    ]
