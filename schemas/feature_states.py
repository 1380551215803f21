"""Records of ``features.states``: the changelog from which the feature fold begins again where it stopped.

Besides the states of keys, written as in ``features``, each partition has entries of its own: what is open of
a record of outcomes, what is remembered of a closed second, and how far all is. The entries of one step are
written in an order in which any beginning of them is either ignored or right: states and news first, then how
far it is, and only then is removed what is not needed any more.

An entry is a record, and no record may have more than a megabyte, while a second may hold any number of
events: what happened in one, and what one record told, is written in parts.
"""

import math
from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from core.learning.events import Ended, Submitted
from core.learning.seconds import Identities, Remembered
from schemas.outcomes import Report, Subject, encode, key_of, partition_of

Put = tuple[bytes, bytes]
"""A key and its value."""


class Entry(StrEnum):
    """What an entry of a partition says."""

    SECOND = "second"
    """What was new in a closed second."""
    RECORD = "record"
    """What a record of outcomes told."""
    PROGRESS = "progress"


A_PART = {Entry.SECOND: 5_000, Entry.RECORD: 1_000}
"""Items in a part at most: of some hundred bytes each, with long names of tenants and types."""


class Far(msgspec.Struct, frozen=True):
    """How far a partition is."""

    next_offset: int
    end_ms: int
    first_open_s: int


class EntryKey(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """Names an entry of a partition."""

    entry: str
    partition: int
    number: int
    """The second, or the offset of the record; 0 for the progress."""
    part: int = 0


_Told = tuple[tuple[Subject, Submitted | None, Ended | None], ...]


def entry_key(entry: Entry, partition: int, number: int = 0, part: int = 0) -> bytes:
    """Write the key of an entry."""
    return encode(EntryKey(entry.value, partition, number, part))


def read_entry_key(data: bytes) -> EntryKey | None:
    """Read the key of an entry; None: it is that of a state."""
    if not data.startswith(b'["'):
        return None
    return msgspec.json.decode(data, type=EntryKey)


def home_of(data: bytes, partitions: int) -> int:
    """Give the partition on which a record with this key stands."""
    entry = read_entry_key(data)
    return partition_of(key_of(data), partitions) if entry is None else entry.partition


def entry_keys(entry: Entry, partition: int, number: int, items: int) -> list[bytes]:
    """Give the keys of all parts of an entry with so many items; one without any has a part, too."""
    parts = max(1, math.ceil(items / A_PART[entry]))
    return [entry_key(entry, partition, number, part) for part in range(parts)]


def _puts(entry: Entry, partition: int, number: int, items: Sequence[object]) -> list[Put]:
    size = A_PART[entry]
    keys = entry_keys(entry, partition, number, len(items))
    return [(key, encode(items[part * size : (part + 1) * size])) for part, key in enumerate(keys)]


def second_puts(partition: int, remembered: Remembered) -> list[Put]:
    """Write what was new in a closed second."""
    second, identities = remembered
    return _puts(Entry.SECOND, partition, second, identities)


def read_second(parts: Iterable[bytes]) -> Identities:
    """Read what was new in a closed second, from its parts in order."""
    return tuple(identity for data in parts for identity in msgspec.json.decode(data, type=Identities))


def report_puts(partition: int, offset: int, reports: tuple[Report, ...]) -> list[Put]:
    """Write what a record told."""
    told = [
        (subject, event, None) if isinstance(event, Submitted) else (subject, None, event)
        for subject, event in reports
    ]
    return _puts(Entry.RECORD, partition, offset, told)


def read_reports(parts: Iterable[bytes]) -> tuple[Report, ...]:
    """Read what a record told, from its parts in order."""
    found: list[Report] = []
    for data in parts:
        for subject, submitted, ended in msgspec.json.decode(data, type=_Told):
            event = submitted if submitted is not None else ended
            assert event is not None
            found.append(Report(subject, event))
    return tuple(found)


def far_bytes(far: Far) -> bytes:
    """Write how far a partition is."""
    return encode(far)


def read_far(data: bytes) -> Far:
    """Read it."""
    return msgspec.json.decode(data, type=Far)
