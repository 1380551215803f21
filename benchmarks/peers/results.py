"""What a comparison found, as it is written to a file."""

import msgspec

from benchmarks.peers.figures import Run, Summary
from benchmarks.results import Machine


class Skipped(msgspec.Struct, frozen=True):
    """A peer that was not measured."""

    peer: str
    reason: str
    remedy: str


class Measured(msgspec.Struct, frozen=True):
    """A peer that was."""

    peer: str
    final_state: str
    """Where it keeps it, and what the watcher reads."""
    versions: dict[str, str]


class Asked(msgspec.Struct, frozen=True):
    """How much was measured."""

    jobs: int
    per_s: float
    seconds: float
    repeats: int
    payload_bytes: int


class Comparison(msgspec.Struct, frozen=True):
    """One run of everything."""

    machine: Machine
    asked: Asked
    measured: tuple[Measured, ...]
    skipped: tuple[Skipped, ...]
    summaries: tuple[Summary, ...]
    runs: tuple[Run, ...]


def write_json(comparison: Comparison) -> bytes:
    """Give the file's content."""
    return msgspec.json.format(msgspec.json.encode(comparison)) + b"\n"
