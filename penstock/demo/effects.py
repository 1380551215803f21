"""The effects ledger: what tasks say they did, one JSON line an event, repeats and all.

An ordinary file with no unique index, because an index would hide exactly the repeats that the
verification looks for. Imported by worker processes, so it uses nothing else of ours.
"""

import json
import os
import time
from pathlib import Path

import msgspec


class Effect(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line: dispatch ``dispatch`` of a job started or ended.

    ``at`` is the wall clock in seconds since 1970. All workers of a demo run on one machine, so their
    times compare; a clock set back during the run would not go unnoticed but be taken for an overlap.
    """

    job_id: str
    dispatch: int
    attempt: int
    event: str
    at: float
    pid: int
    outcome: str = ""


class Effects(msgspec.Struct, frozen=True):
    """A ledger as it was read; ``unreadable`` counts lines that are no effect."""

    lines: tuple[Effect, ...]
    unreadable: int


def append_effect(path: str, job_id: str, dispatch: int, attempt: int, event: str, outcome: str = "") -> None:
    """Append one line; lines of other processes cannot fall between its bytes."""
    row = {"job_id": job_id, "dispatch": dispatch, "attempt": attempt, "event": event}
    content = json.dumps(row | {"at": time.time(), "pid": os.getpid(), "outcome": outcome}).encode() + b"\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)


def read_effects(path: Path) -> Effects:
    """Read the whole ledger; no file means that no task has run."""
    if not path.exists():
        return Effects((), 0)
    decoder = msgspec.json.Decoder(Effect)
    lines: list[Effect] = []
    unreadable = 0
    for line in path.read_bytes().splitlines():
        try:
            lines.append(decoder.decode(line))
        except msgspec.DecodeError:
            unreadable += 1
    return Effects(tuple(lines), unreadable)
