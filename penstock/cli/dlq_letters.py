"""Dead letters as they stand in ``jobs.dead``, found by what the tables know of them."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from adapters.kafka.reader import KafkaReader
from core.log import Record, TopicPartition
from penstock.cli.dlq_rows import FoundLetter
from penstock.cli.reading import reading, stretch
from penstock.cli.times import ms_of
from penstock.connection import KafkaConnection
from penstock.identity import home
from schemas.accepted_job import DeadJob
from schemas.codec import decode_dead
from schemas.topics import RouteMap

EARLIER_MS = 600_000
"""Reading begins so much before the oldest decision: a letter follows its own, but brokers' clocks differ."""


class DeadLetter(NamedTuple):
    """A dead letter with what the tables know of it."""

    found: FoundLetter
    record: Record
    letter: DeadJob


class Letters:
    """The wanted dead letters, in the order of the log; each once, and no edited copy."""

    def __init__(self, records: AsyncIterator[Record], wanted: Iterable[FoundLetter]) -> None:
        self._records = records
        self.missing = {one.candidate.job_id: one for one in wanted}
        """Those that were not come by yet."""

    async def take(self, most: int) -> list[DeadLetter]:
        """Give up to so many more; none when there are no more."""
        taken: list[DeadLetter] = []
        while self.missing and len(taken) < most:
            record = await anext(self._records, None)
            if record is None:
                break
            found = self.missing.get((record.key or b"").decode(errors="replace"))
            if found is None:
                continue
            letter = decode_dead(record)
            if letter.edited or letter.last.job.n != found.candidate.n:
                continue
            del self.missing[found.candidate.job_id]
            taken.append(DeadLetter(found, record, letter))
        return taken


@asynccontextmanager
async def letters(
    kafka: KafkaConnection, routes: RouteMap, wanted: Sequence[FoundLetter]
) -> AsyncIterator[Letters]:
    """Read ``jobs.dead`` from the oldest of the wanted letters on."""
    async with reading(kafka) as reader:
        begin = await _begin(reader, routes, wanted)
        records = stretch(reader, list(begin), begin=begin)
        try:
            yield Letters(records, wanted)
        finally:
            await records.aclose()


async def _begin(
    reader: KafkaReader, routes: RouteMap, wanted: Sequence[FoundLetter]
) -> dict[TopicPartition, int]:
    oldest: dict[int, int] = {}
    for one in wanted:
        partition = home(one.candidate.job_id, routes.partitions)
        at_ms = 0 if one.dead_at is None else max(0, ms_of(one.dead_at) - EARLIER_MS)
        oldest[partition] = min(at_ms, oldest.get(partition, at_ms))
    begin: dict[TopicPartition, int] = {}
    for partition, at_ms in sorted(oldest.items()):
        place = TopicPartition(routes.dead, partition)
        offset = await reader.offset_at(place, at_ms)
        if offset is not None:
            begin[place] = offset
    return begin
