"""Records of ``gates.known``: who passed the id gate, so that ``jobs.gates`` can be trimmed.

Each says who passed in one stretch of offsets of one partition of ``jobs.gates``, complete in itself.
Stretches may overlap or repeat: what passed is a function of that log, whoever writes it down.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from core.gates.id_gate import KEY_BYTES, STORED_BYTES, Passage
from core.log import NewRecord, Record
from schemas.codec import UnreadableRecordError
from schemas.topics import RouteMap

LAYOUT = b"1"
_PASSAGE = struct.Struct(f">Q{KEY_BYTES}s{STORED_BYTES}s")
PASSAGES_MAX = 10_000
"""In one record: 500 KB, half of what a record may be."""


class Stretch(NamedTuple):
    """Who passed from ``start`` up to, not including, ``end``."""

    epoch: str
    start: int
    end: int
    passages: list[Passage]


def stretches(
    epoch: str, start: int, end: int, passages: list[Passage], fit: int = PASSAGES_MAX
) -> Iterator[Stretch]:
    """Cut a stretch into some that fit into a record each; ``passages`` in order of offset."""
    for first in range(0, max(1, len(passages)), fit):
        some = passages[first : first + fit]
        is_last = first + fit >= len(passages)
        cut = end if is_last else some[-1].offset + 1
        yield Stretch(epoch, start, cut, some)
        start = cut


def stretch_record(routes: RouteMap, partition: int, stretch: Stretch) -> NewRecord:
    """Make the record of a stretch."""
    key = f"{stretch.epoch}/{stretch.start:020d}/{stretch.end:020d}".encode()
    value = b"".join(_PASSAGE.pack(*passage) for passage in stretch.passages)
    return NewRecord(routes.known, partition, key, value, (("schema", LAYOUT), ("kind", b"PASSED")))


def stretch_of(record: Record) -> Stretch:
    """Read the record of a stretch.

    Raises
    ------
    UnreadableRecordError
        Another version, or something else, writes into the topic.
    """
    try:
        epoch, start, end = (record.key or b"").decode().split("/")
        stretch = Stretch(epoch, int(start), int(end), list(_passages(record.value or b"")))
    except (ValueError, struct.error) as error:
        raise UnreadableRecordError(
            f"{record.topic}/{record.partition}/{record.offset} does not say who passed a gate: {error}"
        ) from error
    if record.header("schema") != LAYOUT:
        raise UnreadableRecordError(
            f"{record.topic}/{record.partition}/{record.offset} has layout {record.header('schema')!r}, this "
            f"version reads {LAYOUT!r}: run the newer Penstock"
        )
    return stretch


def _passages(value: bytes) -> Iterator[Passage]:
    return (Passage(*fields) for fields in _PASSAGE.iter_unpack(value))
