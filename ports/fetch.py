"""Fetches single records that were read before, by their coordinates.

Built on the other ports alone, so it is the same for the real log and for the one in memory.
"""

import asyncio
from collections.abc import Iterable

from core.log import Coordinate, Record, TopicPartition
from ports.log import PartitionReader

POLL_S = 1.0
NEAR_RECORDS = 5000
"""A wanted record at most this far ahead is reached by reading on; about one poll."""


class MissingRecordError(Exception):
    """A record that something rests on is not in the log; nothing can stand in for it."""


class RecordFetcher:
    """Fetches single records by coordinate; calls wait for one another."""

    def __init__(self, reader: PartitionReader) -> None:
        self._reader = reader
        self._lock = asyncio.Lock()

    async def fetch(self, wanted: Iterable[Coordinate]) -> dict[Coordinate, Record]:
        """Give all of these records; waits while the broker is away.

        Raises
        ------
        MissingRecordError
            One does not exist: the service must stop, a person must look.
        ports.log.OffsetOutOfRangeError
            One was trimmed: likewise.
        """
        found: dict[Coordinate, Record] = {}
        missing = _by_partition(wanted)
        async with self._lock:
            try:
                while missing:
                    # A partition being read keeps its position, so let all go before each jump.
                    await self._reader.assign({})
                    await self._reader.assign({tp: offsets[0] for tp, offsets in missing.items()})
                    await self._read_on(missing, found)
            finally:
                await self._reader.assign({})
        return found

    async def _read_on(
        self, missing: dict[TopicPartition, list[int]], found: dict[Coordinate, Record]
    ) -> None:
        """Read until no wanted record is near any position; takes what was found off ``missing``."""
        while any(offsets[0] - self._reader.position(tp) <= NEAR_RECORDS for tp, offsets in missing.items()):
            records = await self._reader.poll(POLL_S)
            if not records:
                await self._refuse_what_is_beyond_the_end(missing)
            for record in records:
                partition = TopicPartition(record.topic, record.partition)
                offsets = missing.get(partition)
                if offsets is None or record.offset < offsets[0]:
                    continue
                if record.offset > offsets[0]:
                    raise MissingRecordError(
                        f"{record.topic}/{record.partition}/{offsets[0]} is not in the log"
                    )
                found[record.coordinate] = record
                offsets.pop(0)
                if not offsets:
                    del missing[partition]

    async def _refuse_what_is_beyond_the_end(self, missing: dict[TopicPartition, list[int]]) -> None:
        """Wait for no record that would have to be written first: what is read here was acknowledged."""
        for partition, end in (await self._reader.end_offsets(list(missing))).items():
            if missing[partition][-1] >= end:
                raise MissingRecordError(
                    f"{partition.topic}/{partition.partition}/{missing[partition][-1]} is not in the log, "
                    f"which ends at {end}: it was cut, or the broker lost what it had acknowledged"
                )


def _by_partition(wanted: Iterable[Coordinate]) -> dict[TopicPartition, list[int]]:
    offsets: dict[TopicPartition, list[int]] = {}
    for place in sorted(set(wanted)):
        offsets.setdefault(TopicPartition(place.topic, place.partition), []).append(place.offset)
    return offsets
