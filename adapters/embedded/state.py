"""``state.json``: what a supervisor runs, for ``penstock down`` and for the next start."""

from enum import StrEnum
from pathlib import Path

import msgspec

from adapters.embedded.home import write_atomically
from adapters.embedded.process_mark import ProcessMark


class Phase(StrEnum):
    """Where a supervisor stands."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class Step(msgspec.Struct, frozen=True):
    """One thing done while starting or stopping."""

    what: str
    took_s: float
    problem: str = ""
    """What went wrong; empty when it went well."""


class UnitState(msgspec.Struct, frozen=True):
    """One supervised process."""

    mark: ProcessMark | None
    restarts: int
    log: str
    started_ms: int
    """Wall clock of the last start, milliseconds since 1970; 0 before the first."""


class SupervisorState(msgspec.Struct, frozen=True):
    """Everything known of one run; holds no secret."""

    supervisor: ProcessMark | None
    phase: Phase
    started_ms: int
    steps: tuple[Step, ...] = ()
    units: dict[str, UnitState] = {}
    metrics: dict[str, str] = {}
    """Address of /metrics by instance."""


def write_state(path: Path, state: SupervisorState) -> None:
    """Replace the file atomically."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(state)))


def read_state(path: Path) -> SupervisorState | None:
    """Read the last state; None when there is none or another version of Penstock wrote it."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=SupervisorState)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
