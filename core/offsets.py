"""Offset arithmetic."""

from collections.abc import Iterable

from core.log import Record, TopicPartition


def next_positions(records: Iterable[Record]) -> dict[TopicPartition, int]:
    """Give, per partition, the offset after the last of these records."""
    # A name for each place, not for each record: all that is read passes here.
    last = {(record.topic, record.partition): record.offset for record in records}
    return {TopicPartition(*place): offset + 1 for place, offset in last.items()}


class OffsetTracker:
    """Knows how far a partition is handled when its records are finished out of order."""

    def __init__(self) -> None:
        self._open: dict[int, None] = {}
        self._next = -1

    def add(self, offset: int) -> None:
        """Note a record as read; offsets rise."""
        self._open[offset] = None
        self._next = offset + 1

    def done(self, offset: int) -> None:
        """Note a record as handled; unknown offsets are ignored."""
        self._open.pop(offset, None)

    @property
    def position(self) -> int | None:
        """Offset that may be committed: every record below it is handled. None before the first."""
        if self._next < 0:
            return None
        return next(iter(self._open), self._next)
