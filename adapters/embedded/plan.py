"""What one `penstock up` is asked to run."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.services import SERVICES, ServiceSpec

PACKAGE_ROOT = Path(__file__).resolve().parents[2]
"""Where ``services`` and ``adapters`` stand: the tree, or the site-packages they are installed in."""

KAFKA_KEY = "PENSTOCK_KAFKA_BOOTSTRAP"
DATABASE_KEY = "PENSTOCK_DATABASE_URL"
MODEL_KEY = "PENSTOCK_MODEL_KEY"


def module_command(module: str) -> tuple[str, ...]:
    """Give the command that runs one of our modules whatever packages the current directory has."""
    return (sys.executable, "-P", "-m", module)


def service_command(name: str) -> tuple[str, ...]:
    """Give the command that runs one service."""
    return module_command(f"services.{name}")


def child_environment(base: Mapping[str, str]) -> dict[str, str]:
    """Give the environment in which our modules are found first and print without delay."""
    path = [str(PACKAGE_ROOT), *filter(None, base.get("PYTHONPATH", "").split(os.pathsep))]
    return dict(base) | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(path)), "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True)
class Plan:
    """One run of the supervisor.

    Parameters
    ----------
    data
        The data directory.
    environment
        The caller's environment; a Kafka or Postgres named in it is used instead of an embedded one.
    services
        What to run once both answer; empty runs the servers alone.
    replicas
        Processes of a service where they differ from its default.
    prepare
        Command run before the services, made to succeed any number of times; None skips it.
    """

    data: Path
    environment: Mapping[str, str]
    services: tuple[ServiceSpec, ...] = SERVICES
    replicas: Mapping[str, int] = field(default_factory=dict)
    prepare: tuple[str, ...] | None = field(default_factory=lambda: module_command("adapters.prepare"))
    command: Callable[[str], tuple[str, ...]] = service_command
    """Gives the command of a service by name."""

    def instances(self) -> list[tuple[str, str]]:
        """List (service, instance), in the order in which a job meets them."""
        return [
            (spec.name, f"{spec.name}-{number}")
            for spec in self.services
            for number in range(self.replicas.get(spec.name, spec.replicas))
        ]
