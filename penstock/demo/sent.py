"""The ledger of what was sent: written before it is sent, so that nothing sent can be forgotten."""

import os
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import msgspec


class SendOutcome(StrEnum):
    """What is known of a batch."""

    OK = "ok"
    FAILED = "failed"
    """Not in the log, for certain."""
    UNKNOWN = "unknown"
    """May be in the log; settled by reading the log."""


class Place(NamedTuple):
    """Where a submission was appended."""

    submission: int
    partition: int
    offset: int
    timestamp_ms: int


class SentLedger:
    """An append-only file of JSON lines; an intention is on the disk before its batch is produced.

    A batch without a settled line is unknown, also after a crash of the demo itself.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._batches = 0
        self._open: dict[int, tuple[int, ...]] = {}
        self.places: list[Place] = []

    def intend(self, submissions: Sequence[int]) -> int:
        """Write that these submissions are about to be sent; give the batch's number."""
        self._batches += 1
        self._open[self._batches] = tuple(submissions)
        self._write({"batch": self._batches, "intend": list(submissions)})
        os.fsync(self._descriptor)
        return self._batches

    def settle(self, batch: int, places: Iterable[Place]) -> None:
        """Write that a batch was acknowledged, and where it stands."""
        found = list(places)
        del self._open[batch]
        self.places.extend(found)
        self._write({"batch": batch, "outcome": SendOutcome.OK, "places": found})

    def doubt(self, batch: int, outcome: SendOutcome, reason: str) -> None:
        """Write that a batch was not acknowledged, and why; an unknown one stays open."""
        if outcome is SendOutcome.FAILED:
            self._open.pop(batch, None)
        self._write({"batch": batch, "outcome": outcome, "reason": reason})

    def unknown(self) -> dict[int, tuple[int, ...]]:
        """Give the batches of which nobody knows whether they are in the log."""
        return dict(self._open)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _write(self, line: dict[str, object]) -> None:
        os.write(self._descriptor, msgspec.json.encode(line) + b"\n")
