import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from adapters.memory.appender import MemoryAppender
from adapters.memory.broker import MemoryBroker
from adapters.memory.reader import MemoryReader
from core.log import NewRecord, TopicPartition
from penstock.demo.evidence import Position
from penstock.demo.generate import generate
from penstock.demo.logscan import read_between, submissions_of
from penstock.demo.malformed import MALFORMED
from penstock.demo.plan import Plan, PlannedRepeat, RunIdentity, record_headers, record_value
from penstock.demo.sent import Place, SendOutcome, SentLedger
from penstock.demo.submit import BATCH_MAX, Submitter
from penstock.demo.verify import RunStart, evidence_of, run_start, scan_rejected, scan_sent
from schemas.codec import encode
from schemas.rejected import RejectedRecord
from schemas.topics import RouteMap
from services.ingest.decide import Accepted, IngestContext, Rejected, decide

ROUTES = RouteMap(partitions=3)
RUN = RunIdentity("run-1", "/somewhere/effects.jsonl")
EPOCH = "e1"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLAN = generate(100, 3)
AFTER_ALL_S = 1e6
"""An elapsed time at which every submission is due."""


class Bench:
    """A submitter on a log in memory."""

    def __init__(self, folder: Path) -> None:
        self.broker = MemoryBroker(lambda: 1_700_000_000_000)
        self.broker.create_topics(ROUTES.specs())
        self.path = folder / "sent.jsonl"
        self.sent = SentLedger(self.path)
        self.reader = MemoryReader(self.broker)
        appender = MemoryAppender(self.broker)
        self.submitter = Submitter(appender, self.sent, RUN, topic=ROUTES.jobs, partitions=ROUTES.partitions)

    def lines(self) -> list[dict[str, object]]:
        return [msgspec.json.decode(line) for line in self.path.read_bytes().splitlines()]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def due() -> float:
    return AFTER_ALL_S


async def submitted(bench: Bench, plan: Plan = PLAN) -> RunStart:
    start = await run_start(bench.reader, ROUTES)
    await bench.submitter.submit_all(plan.submissions, due)
    return start


async def test_everything_planned_is_in_the_log_and_in_the_ledger(bench: Bench) -> None:
    start = await submitted(bench)
    sent = await scan_sent(bench.reader, start, PLAN, RUN, EPOCH)
    assert sorted(sent.found) == list(range(len(PLAN.submissions)))
    assert {
        p.submission: frozenset({Position(p.partition, p.offset)}) for p in bench.sent.places
    } == sent.found
    assert bench.sent.unknown() == {}


async def test_a_repeat_names_the_job_it_repeats(bench: Bench) -> None:
    start = await submitted(bench)
    sent = await scan_sent(bench.reader, start, PLAN, RUN, EPOCH)
    repeated = {item.of.number for item in PLAN.submissions if isinstance(item, PlannedRepeat)}
    assert len(sent.jobs) == 100
    assert {job.number for job in sent.jobs.values() if job.records == 2} == repeated


async def test_only_records_of_this_run_are_found(bench: Bench) -> None:
    bench.broker.write(NewRecord(ROUTES.jobs, 0, None, b"earlier"))
    start = await submitted(bench)
    bench.broker.write(NewRecord(ROUTES.jobs, 0, None, b"foreign"))
    other = RunIdentity("run-2", "/elsewhere")
    bench.broker.write(NewRecord(ROUTES.jobs, 0, None, b"{}", record_headers(0, other)))
    sent = await scan_sent(bench.reader, start, PLAN, RUN, EPOCH)
    assert sum(map(len, sent.found.values())) == len(PLAN.submissions)


async def test_the_intention_is_written_before_the_batch_is_sent(bench: Bench) -> None:
    bench.broker.faults.go_away()
    task = asyncio.create_task(bench.submitter.submit_all(PLAN.submissions, due))
    await eventually(lambda: bench.submitter.held_up_s() > 0)
    assert bench.lines()[0]["intend"] == list(range(min(BATCH_MAX, len(PLAN.submissions))))
    assert bench.broker.records(ROUTES.jobs) == []
    bench.broker.faults.come_back()
    await task
    assert bench.submitter.held_up_s() == 0


async def test_an_unanswered_batch_is_unknown_and_found_by_reading_the_log(bench: Bench) -> None:
    bench.broker.faults.fail_next_append(written=10)
    start = await submitted(bench)
    sent = await scan_sent(bench.reader, start, PLAN, RUN, EPOCH)
    assert bench.lines()[1]["outcome"] == SendOutcome.UNKNOWN
    assert bench.sent.unknown() == {1: tuple(range(len(PLAN.submissions)))}
    assert sorted(sent.found) == list(range(10))


async def test_a_batch_that_can_never_be_sent_has_failed_and_is_not_unknown(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.broker.record_max_bytes = 10
    await submitted(bench)
    assert bench.sent.unknown() == {}
    assert bench.lines()[1]["outcome"] == SendOutcome.FAILED


async def test_nothing_is_sent_before_its_time(bench: Bench) -> None:
    began_s = time.monotonic()
    plan = Plan([item for item in PLAN.submissions if item.at_s < 0.4])
    await bench.submitter.submit_all(plan.submissions, lambda: time.monotonic() - began_s)
    assert time.monotonic() - began_s >= plan.submissions[-1].at_s
    assert len(bench.broker.records(ROUTES.jobs)) == len(plan.submissions)


async def test_ingest_takes_every_job_and_rejects_exactly_the_malformed(bench: Bench) -> None:
    start = await submitted(bench)
    sent = await scan_sent(bench.reader, start, PLAN, RUN, EPOCH)
    context = IngestContext(EPOCH, ROUTES.partitions, frozenset({"default"}))
    decisions = [decide(record, context) for record in bench.broker.records(ROUTES.jobs)]
    assert {one.job.job_id for one in decisions if isinstance(one, Accepted)} == sent.jobs.keys()
    assert sum(isinstance(one, Rejected) for one in decisions) == len(sent.malformed) > 0


@pytest.mark.parametrize("value", MALFORMED, ids=lambda value: str(value)[:40])
def test_ingest_rejects_each_kind_of_malformed_record(bench: Bench, value: bytes | None) -> None:
    bench.broker.write(NewRecord(ROUTES.jobs, 0, None, value, record_headers(0, RUN)))
    (record,) = bench.broker.records(ROUTES.jobs)
    assert isinstance(decide(record, IngestContext(EPOCH, 3, frozenset({"default"}))), Rejected)


async def test_rejections_are_read_by_the_place_of_the_original(bench: Bench) -> None:
    start = await run_start(bench.reader, ROUTES)
    said = RejectedRecord("not_json", "no JSON", "send JSON", ROUTES.jobs, 2, 7, 1)
    bench.broker.write(NewRecord(ROUTES.rejected, 0, None, encode(said)))
    assert await scan_rejected(bench.reader, start) == {Position(2, 7): "not_json: no JSON"}


async def test_reading_a_stretch_stops_at_its_end(bench: Bench) -> None:
    partition = TopicPartition(ROUTES.jobs, 0)
    for number in range(5):
        bench.broker.write(NewRecord(*partition, None, str(number).encode()))
    records = await read_between(bench.reader, {partition: 1}, {partition: 3})
    assert [record.value for record in records] == [b"1", b"2"]
    assert submissions_of(records, RUN.run_id) == []


async def test_evidence_puts_unsent_submissions_by_name(bench: Bench, tmp_path: Path) -> None:
    bench.broker.faults.fail_next_append(written=0)
    start = await submitted(bench)
    sent = await scan_sent(bench.reader, start, PLAN, RUN, EPOCH)
    evidence = evidence_of(
        plan=PLAN,
        sent=sent,
        acknowledged=[Place(0, 1, 2, 3)],
        rejected={},
        rows={},
        effects_file=tmp_path / "none",
        table_differences=[],
        table_problem="",
    )
    assert list(evidence.unsent) == list(range(len(PLAN.submissions)))
    assert evidence.acknowledged == {0: Position(1, 2)}
    assert evidence.effects.lines == ()


def test_a_rendered_job_names_its_run(bench: Bench) -> None:
    body = msgspec.json.decode(record_value(PLAN.jobs[0], RUN, NOW) or b"")
    assert body["labels"] == {"demo_run": "run-1", "demo_number": "0"}
    assert body["payload"]["effects_file"] == RUN.effects_file


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the fake broker says nothing of its own
            await asyncio.sleep(0)
