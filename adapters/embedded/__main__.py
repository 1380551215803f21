"""Runs the embedded servers without services: ``python -m adapters.embedded DIR`` (for tests)."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from adapters.embedded.plan import Plan
from adapters.embedded.state import Step
from adapters.embedded.supervisor import supervise


def report(step: Step) -> None:
    """Print one step."""
    sys.stdout.write(f"{step.what}: {step.problem or f'{step.took_s:.1f} s'}\n")
    sys.stdout.flush()


def ready(_: Mapping[str, str]) -> None:
    """Print the line that a test waits for."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(supervise(Plan(Path(sys.argv[1]), os.environ, services=(), prepare=None), report, ready))
