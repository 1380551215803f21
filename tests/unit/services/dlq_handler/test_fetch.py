import asyncio
from collections.abc import Mapping, Sequence

import msgspec
import pytest

from core.log import Coordinate, Record, TopicPartition
from ports.fetch import NEAR_RECORDS, MissingRecordError, RecordFetcher
from schemas.accepted_job import AcceptedJob, FailedAttempt, QueuedJob
from schemas.codec import encode
from schemas.topics import RouteMap
from services.dlq_handler.fetch import Attempts

ROUTES = RouteMap(partitions=2)
JOB = AcceptedJob(
    "e:0:7", "job", "t", "default", "default", msgspec.Raw(b"{}"), 5, 0, 10.0, 3, "0" * 16, "0" * 32
)


class LogReader:
    """A reader over lists; gives two records a poll."""

    def __init__(self, partitions: Mapping[TopicPartition, Sequence[Record]]) -> None:
        self._log = partitions
        self._positions: dict[TopicPartition, int] = {}
        self.given = 0
        self.jumps = 0

    async def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        self._positions = {tp: self._positions.get(tp, offset) for tp, offset in positions.items()}
        self.jumps += bool(positions)

    async def poll(self, timeout_s: float, max_records: int = 5000) -> list[Record]:
        assert self._positions
        records: list[Record] = []
        for tp, position in self._positions.items():
            batch = [record for record in self._log[tp] if record.offset >= position][:2]
            records += batch
            if batch:
                self._positions[tp] = batch[-1].offset + 1
        self.given += len(records)
        return records

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        raise NotImplementedError

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        raise NotImplementedError

    def position(self, partition: TopicPartition) -> int:
        return self._positions[partition]

    def known_end(self, partition: TopicPartition) -> int:
        return self._log[partition][-1].offset + 1

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: self.known_end(tp) for tp in partitions}

    async def start_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: self._log[tp][0].offset for tp in partitions}

    async def close(self) -> None:
        self._positions = {}


def failed(offset: int, partition: int = 0) -> Record:
    value = encode(FailedAttempt(JOB, "x", "transient", "Boom", f"number {offset}", 0))
    return Record(ROUTES.dlq, partition, offset, 0, None, value, ())


def queued(offset: int) -> Record:
    return Record("jobs.exec.default.b0", 1, offset, 0, None, encode(QueuedJob(JOB, 0, 0, 0.0)), ())


FAR = NEAR_RECORDS + 100
LOG = {
    TopicPartition(ROUTES.dlq, 0): [failed(offset) for offset in [*range(20), FAR, FAR + 1]],
    TopicPartition("jobs.exec.default.b0", 1): [queued(offset) for offset in range(10)],
}


def place(record: Record) -> Coordinate:
    return record.coordinate


@pytest.fixture
def reader() -> LogReader:
    return LogReader(LOG)


async def test_exactly_the_wanted_records_are_given(reader: LogReader) -> None:
    wanted = {place(failed(17)), place(failed(3)), place(failed(4)), place(queued(9))}
    found = await RecordFetcher(reader).fetch([*wanted, *wanted])
    assert {key: key for key in found} == {record.coordinate: record.coordinate for record in found.values()}
    assert set(found) == wanted


async def test_a_record_far_ahead_is_jumped_to(reader: LogReader) -> None:
    found = await RecordFetcher(reader).fetch([place(failed(0)), place(failed(FAR + 1))])
    assert set(found) == {place(failed(0)), place(failed(FAR + 1))}
    assert reader.jumps == 2
    assert reader.given < 6


async def test_a_record_that_is_not_there_stops_the_search(reader: LogReader) -> None:
    with pytest.raises(MissingRecordError, match=r"jobs\.dlq/0/25"):
        await RecordFetcher(reader).fetch([Coordinate(ROUTES.dlq, 0, 25)])


async def test_an_attempt_just_read_is_not_read_again(reader: LogReader) -> None:
    attempts = Attempts(RecordFetcher(reader), ROUTES, max_bytes=1_000_000)
    attempts.remember(failed(3))
    found = await attempts.get([place(failed(3))])
    assert found[place(failed(3))].message == "number 3"
    assert reader.given == 0


async def test_an_attempt_not_remembered_is_read_from_the_log(reader: LogReader) -> None:
    attempts = Attempts(RecordFetcher(reader), ROUTES, max_bytes=1_000_000)
    found = await attempts.get([place(failed(3)), place(queued(2))])
    assert found[place(failed(3))].message == "number 3"
    assert found[place(queued(2))].job == JOB
    read_once = reader.given
    await attempts.get([place(failed(3)), place(queued(2))])
    assert reader.given == read_once


async def test_the_least_recently_used_is_let_go_first(reader: LogReader) -> None:
    size = len(failed(1).value or b"")
    attempts = Attempts(RecordFetcher(reader), ROUTES, max_bytes=2 * size)
    for offset in (1, 2):
        attempts.remember(failed(offset))
    await attempts.get([place(failed(1))])
    attempts.remember(failed(3))
    await attempts.get([place(failed(1)), place(failed(3))])
    assert reader.given == 0
    await attempts.get([place(failed(2))])
    assert reader.given > 0


async def test_a_cache_of_no_size_still_answers(reader: LogReader) -> None:
    attempts = Attempts(RecordFetcher(reader), ROUTES, max_bytes=0)
    attempts.remember(failed(3))
    assert (await attempts.get([place(failed(3))]))[place(failed(3))].message == "number 3"


async def test_a_record_beyond_the_end_of_the_log_is_not_waited_for() -> None:
    fetcher = RecordFetcher(LogReader(LOG))
    async with asyncio.timeout(5):
        with pytest.raises(MissingRecordError, match="ends at 10"):
            await fetcher.fetch([Coordinate("jobs.exec.default.b0", 1, 12)])
