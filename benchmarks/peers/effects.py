"""Reads what the measured tasks noted: which jobs ran, and when."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.peers.apps.effects import RECORD, SUFFIX


def read(folder: Path) -> dict[int, list[float]]:
    """Give the starts of each job by its number, milliseconds since 1970, over all processes.

    Raises
    ------
    ValueError
        A file ends within a record: its writer was killed, or is not done.
    """
    starts_ms: dict[int, list[float]] = {}
    for number, at_ns in _records(folder):
        starts_ms.setdefault(number, []).append(at_ns / 1e6)
    return starts_ms


def _records(folder: Path) -> Iterator[tuple[int, int]]:
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        content = path.read_bytes()
        if len(content) % RECORD.size:
            raise ValueError(f"{path} ends within a record")
        yield from RECORD.iter_unpack(content)
