"""Records of ``features.states``: the changelog from which the feature fold begins again where it stopped.

Besides the states of keys, written as in ``features``, each partition has entries of its own: what is open of
a record of outcomes, what is remembered of a closed second, and how far all is. The entries of one step are
written in an order in which any beginning of them is either ignored or right: states and news first, then how
far it is, and only then is removed what is not needed any more.
"""

from enum import StrEnum
from typing import NamedTuple

import msgspec

from core.learning.events import Ended, Submitted
from core.learning.seconds import Remembered
from schemas.outcomes import Report, Subject, encode, key_of, partition_of


class Entry(StrEnum):
    """What an entry of a partition says."""

    SECOND = "second"
    """What was new in a closed second."""
    RECORD = "record"
    """What a record of outcomes told."""
    PROGRESS = "progress"


class Far(msgspec.Struct, frozen=True):
    """How far a partition is."""

    next_offset: int
    end_ms: int
    first_open_s: int


class EntryKey(NamedTuple):
    """Names an entry of a partition."""

    entry: str
    partition: int
    number: int
    """The second, or the offset of the record; 0 for the progress."""


_Told = tuple[tuple[Subject, Submitted | None, Ended | None], ...]
_Identities = tuple[tuple[str, int, bool], ...]


def entry_key(entry: Entry, partition: int, number: int = 0) -> bytes:
    """Write the key of an entry."""
    return encode([entry.value, partition, number])


def read_entry_key(data: bytes) -> EntryKey | None:
    """Read the key of an entry; None: it is that of a state."""
    if not data.startswith(b'["'):
        return None
    return EntryKey(*msgspec.json.decode(data, type=tuple[str, int, int]))


def home_of(data: bytes, partitions: int) -> int:
    """Give the partition on which a record with this key stands."""
    entry = read_entry_key(data)
    return partition_of(key_of(data), partitions) if entry is None else entry.partition


def second_bytes(remembered: Remembered) -> bytes:
    """Write what was new in a closed second."""
    return encode(remembered[1])


def read_second(second: int, data: bytes) -> Remembered:
    """Read it."""
    return second, msgspec.json.decode(data, type=_Identities)


def reports_bytes(reports: tuple[Report, ...]) -> bytes:
    """Write what a record told."""
    return encode(
        [
            (subject, event, None) if isinstance(event, Submitted) else (subject, None, event)
            for subject, event in reports
        ]
    )


def read_reports(data: bytes) -> tuple[Report, ...]:
    """Read it."""
    found: list[Report] = []
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
