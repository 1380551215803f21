"""Fetch the jobs that decisions are about: from what was just read, else that very record again."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable

from core.log import Coordinate, Record, TopicPartition
from ports.log import PartitionReader
from schemas.accepted_job import FailedAttempt
from schemas.codec import decode_failed, decode_queued
from schemas.topics import RouteMap
from services.dlq_handler.decide import attempt_of_queued

POLL_S = 1.0
NEAR_RECORDS = 5000
"""A wanted record at most this far ahead is reached by reading on; about one poll."""


class MissingRecordError(Exception):
    """A record that the ledger names is not in the log; nothing can stand in for it."""


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


class Attempts:
    """Failed attempts by the coordinate that verdicts name; remembers the newest.

    Parameters
    ----------
    max_bytes
        Bound on the encoded size of what is remembered; the least recently used goes first.
    """

    def __init__(self, fetcher: RecordFetcher, routes: RouteMap, max_bytes: int) -> None:
        self._fetcher = fetcher
        self._dlq = routes.dlq
        self._max_bytes = max_bytes
        self._held: OrderedDict[Coordinate, tuple[FailedAttempt, int]] = OrderedDict()
        self._bytes = 0

    def remember(self, record: Record) -> None:
        """Keep a record of ``jobs.dlq`` or of an execution topic."""
        self._keep(record.coordinate, self._read(record), len(record.value or b""))

    async def get(self, wanted: Iterable[Coordinate]) -> dict[Coordinate, FailedAttempt]:
        """Give the attempts that stand there; errors as ``RecordFetcher.fetch``."""
        attempts: dict[Coordinate, FailedAttempt] = {}
        unknown: list[Coordinate] = []
        for place in wanted:
            held = self._held.get(place)
            if held is None:
                unknown.append(place)
            else:
                self._held.move_to_end(place)
                attempts[place] = held[0]
        if unknown:
            for place, record in (await self._fetcher.fetch(unknown)).items():
                attempts[place] = self._read(record)
                self._keep(place, attempts[place], len(record.value or b""))
        return attempts

    def _read(self, record: Record) -> FailedAttempt:
        return (
            decode_failed(record) if record.topic == self._dlq else attempt_of_queued(decode_queued(record))
        )

    def _keep(self, place: Coordinate, attempt: FailedAttempt, size_bytes: int) -> None:
        _, old_bytes = self._held.pop(place, (None, 0))
        self._held[place] = (attempt, size_bytes)
        self._bytes += size_bytes - old_bytes
        while self._bytes > self._max_bytes:
            _, (_, dropped_bytes) = self._held.popitem(last=False)
            self._bytes -= dropped_bytes
