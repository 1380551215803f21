"""The dlq_handler on a real broker, beside executors that this test plays."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import msgspec
import pytest

from adapters.kafka.admin import create_topics, ensure_epoch
from adapters.kafka.appender import KafkaAppender
from adapters.kafka.clock import BrokerClock
from adapters.kafka.reader import reading
from adapters.runtime.service import Service
from adapters.telemetry.health import Health
from adapters.telemetry.prometheus import PrometheusMeter
from core.keeper import LossReason
from core.ledger.verdicts import Action, Claimed, Decided, Failed, Lost, Released
from core.log import NewRecord, Record, TopicPartition
from penstock.connection import KafkaConnection, PipelineNames
from penstock.identity import home
from schemas.accepted_job import AcceptedJob, FailedAttempt, QueuedJob
from schemas.codec import (
    decode_accepted,
    decode_dead,
    decode_delayed,
    decode_failed,
    encode,
    job_record,
    ledger_record,
)
from schemas.control import EpochRecord
from schemas.executors import Heartbeat, dispatch_key
from schemas.ledger import FoldedEvent, LedgerFolds
from schemas.topics import RouteMap
from services.dlq_handler.settings import DlqHandlerSettings
from services.dlq_handler.wiring import run
from tests.support.servers import Servers

PARTITIONS = 2
DEADLINE_S = 40.0
PATIENT_LEASE_S = 60.0
"""Longer than any test: nothing is lost by silence."""
SHORT_LEASE_S = 3.0
HEARTBEAT_S = 0.2


@dataclass
class Pipeline:
    """Topics of one test, an appender and the handlers that run on them."""

    connection: KafkaConnection
    names: PipelineNames
    routes: RouteMap
    epoch: EpochRecord
    clock: BrokerClock
    appender: KafkaAppender
    handlers: list[tuple[asyncio.Task[None], asyncio.Event]] = field(default_factory=list)
    jobs: int = 0
    lease_s: float = PATIENT_LEASE_S

    async def start_handler(self, name: str = "dlq_handler") -> Service:
        settings = DlqHandlerSettings(
            kafka=self.connection, names=self.names, lease_s=self.lease_s, heartbeat_s=HEARTBEAT_S
        )
        clock, stopping = BrokerClock(), asyncio.Event()
        clock.observe(self.clock.now_ms())
        appender = KafkaAppender(self.connection, clock, client_id=name)
        await appender.start()
        meter, health, instance = PrometheusMeter(), Health(), f"{name}-0"
        service = Service(
            name, instance, settings, self.routes, self.epoch, clock, appender, meter, health, stopping, 0
        )

        async def serve() -> None:
            try:
                await run(service)
            finally:
                await appender.close()

        self.handlers.append((asyncio.create_task(serve()), stopping))
        return service

    async def crash_handlers(self) -> None:
        """End them between any two of their awaits, as a kill would."""
        handlers, self.handlers = self.handlers, []
        for task, _ in handlers:
            task.cancel()
        await asyncio.gather(*(task for task, _ in handlers), return_exceptions=True)

    async def stop_handlers(self) -> None:
        for task, stopping in self.handlers:
            stopping.set()
            await asyncio.wait_for(task, DEADLINE_S)
        self.handlers.clear()

    def job(self, **fields: object) -> AcceptedJob:
        self.jobs += 1
        origin = f"{self.epoch.epoch}:0:{self.jobs}"
        plain = AcceptedJob(
            origin, str(uuid.uuid4()), "t", "default", "default", msgspec.Raw(b"{}"), 5, 0, 10.0, 3, "", ""
        )
        return msgspec.structs.replace(plain, **fields)

    async def claim(self, jobs: Sequence[AcceptedJob], executor: str) -> None:
        """Queue the jobs and claim them."""
        topic = self.routes.execution("default", 3)
        queued = [
            job_record(topic, home(job.job_id, PARTITIONS), QueuedJob(job, 0, 3, 0.0), job, b"QUEUED")
            for job in jobs
        ]
        places = await self.appender.append(queued)
        await self.tell(
            *(
                Claimed(job.origin, job.job_id, job.n, executor, topic, record.partition, place.offset)
                for job, record, place in zip(jobs, queued, places, strict=True)
            )
        )

    async def fail(self, jobs: Sequence[AcceptedJob], executor: str, error_class: str) -> None:
        """Close claimed jobs as failed, the data first."""
        records = [
            job_record(
                self.routes.dlq,
                home(job.job_id, PARTITIONS),
                FailedAttempt(job, executor, error_class, "Boom", "it broke", self.clock.now_ms()),
                job,
                b"FAILED",
            )
            for job in jobs
        ]
        places = await self.appender.append(records)
        await self.tell(
            *(
                Failed(job.origin, job.job_id, job.n, executor, 0, 0.1, error_class, "Boom", "", place.offset)
                for job, place in zip(jobs, places, strict=True)
            )
        )

    async def tell(self, *verdicts: Claimed | Failed | Released) -> None:
        await self.appender.append([ledger_record(self.routes, verdict) for verdict in verdicts])

    async def beat(
        self, executor: str, seq: int, held: Sequence[AcceptedJob], *, goodbye: bool = False
    ) -> None:
        keys = tuple(dispatch_key(job.origin, job.n) for job in held)
        message = Heartbeat(executor, executor, "default", seq, keys, 32, 0, goodbye=goodbye)
        record = NewRecord(self.routes.executors, 0, executor.encode(), encode(message))
        await self.appender.append([record])

    async def read_until(self, topics: Sequence[str], enough: Callable[[list[Record]], bool]) -> list[Record]:
        """Read whole topics from the start until ``enough`` says so of all their records."""
        async with reading(self.connection, client_id="test") as reader:
            await reader.assign({TopicPartition(t, p): 0 for t in topics for p in range(PARTITIONS)})
            records: list[Record] = []
            deadline = time.monotonic() + DEADLINE_S
            while not enough(records):
                assert time.monotonic() < deadline, f"{len(records)} records of {topics} were not enough"
                self.raise_failures()
                records += await reader.poll(0.2)
            return records

    def raise_failures(self) -> None:
        for task, _ in self.handlers:
            if task.done():
                task.result()

    async def ledger_until(self, enough: Callable[[list[FoldedEvent]], bool]) -> list[FoldedEvent]:
        """Fold the ledger until ``enough`` says so of all verdicts that hold."""
        holding: list[FoldedEvent] = []
        folds = LedgerFolds(self.epoch.epoch, with_notes=False)
        taken = 0

        def fold(records: list[Record]) -> bool:
            nonlocal taken
            fresh, taken = records[taken:], len(records)
            holding.extend(e for e in folds.take(fresh) if e.outcome is not None and e.outcome.holds)
            return enough(holding)

        await self.read_until([self.routes.ledger], fold)
        return holding

    async def released(self, count: int) -> list[AcceptedJob]:
        """Give the next dispatches in jobs.ready and in the wheel, at least ``count`` different ones."""

        def read(records: list[Record]) -> list[AcceptedJob]:
            ready = [decode_accepted(record) for record in records if record.topic == self.routes.ready]
            waiting = [decode_delayed(record).job for record in records if record.topic != self.routes.ready]
            return ready + waiting

        topics = (self.routes.ready, *self.routes.delays)
        records = await self.read_until(
            topics, lambda found: len({(job.origin, job.n) for job in read(found)}) >= count
        )
        return read(records)


@pytest.fixture
async def pipeline(servers: Servers, topic_prefix: str) -> AsyncIterator[Pipeline]:
    connection = KafkaConnection(bootstrap=servers.kafka_bootstrap)
    names = PipelineNames(topic_prefix=topic_prefix, partitions=PARTITIONS)
    routes = RouteMap(partitions=PARTITIONS, prefix=topic_prefix)
    await create_topics(connection, routes.specs(), 1)
    epoch = await ensure_epoch(connection, routes)
    clock = BrokerClock()
    appender = KafkaAppender(connection, clock, client_id="test")
    await appender.start()
    made = Pipeline(connection, names, routes, epoch, clock, appender)
    await made.beat("warm-up", 1, [], goodbye=True)
    try:
        yield made
    finally:
        await made.crash_handlers()
        await appender.close()


def decisions(events: list[FoldedEvent]) -> list[Decided]:
    return [event.event for event in events if isinstance(event.event, Decided)]


def more_decisions_than(count: int) -> Callable[[list[FoldedEvent]], bool]:
    return lambda events: len(decisions(events)) > count


def losses(events: list[FoldedEvent]) -> dict[str, str]:
    return {event.event.origin: event.event.reason for event in events if isinstance(event.event, Lost)}


async def test_a_failed_job_is_tried_again_as_the_next_dispatch(pipeline: Pipeline) -> None:
    job = pipeline.job()
    await pipeline.claim([job], "x")
    await pipeline.fail([job], "x", "transient")
    service = await pipeline.start_handler()
    (following,) = await pipeline.released(1)
    assert following == msgspec.structs.replace(job, n=2, attempt=2, past=following.past)
    assert [(one.n, one.message) for one in following.past] == [(1, "it broke")]
    (decided,) = decisions(await pipeline.ledger_until(lambda events: bool(decisions(events))))
    assert decided.action is Action.RETRY
    assert service.health.ready
    await pipeline.stop_handlers()


async def test_permanent_errors_and_exhausted_attempts_are_dead_letters(pipeline: Pipeline) -> None:
    hopeless, tired = pipeline.job(), pipeline.job(max_attempts=1)
    await pipeline.start_handler()
    await pipeline.claim([hopeless, tired], "x")
    await pipeline.fail([hopeless], "x", "permanent")
    await pipeline.fail([tired], "x", "timeout")
    records = await pipeline.read_until([pipeline.routes.dead], lambda found: len(found) >= 2)
    dead = {letter.last.job.origin: letter for letter in map(decode_dead, records)}
    assert dead[hopeless.origin].error_class == "permanent"
    assert dead[tired.origin].error_class == "timeout"
    assert "attempt 1 of 1" in dead[tired.origin].reason
    assert dead[tired.origin].last.message == "it broke"


async def test_what_is_handed_back_is_ready_again_at_once_and_costs_no_attempt(pipeline: Pipeline) -> None:
    job = pipeline.job()
    await pipeline.claim([job], "x")
    await pipeline.tell(Released(job.origin, job.job_id, 1, "x", "drain"))
    await pipeline.start_handler()
    (record,) = await pipeline.read_until([pipeline.routes.ready], lambda found: len(found) >= 1)
    assert decode_accepted(record) == msgspec.structs.replace(job, n=2, attempt=1)


async def test_a_handler_killed_again_and_again_forgets_and_repeats_nothing(pipeline: Pipeline) -> None:
    jobs = [pipeline.job() for _ in range(300)]
    await pipeline.claim(jobs, "x")
    await pipeline.start_handler()
    for start in range(0, len(jobs), 50):
        await pipeline.fail(jobs[start : start + 50], "x", "transient" if start % 100 else "permanent")
        # Killed as soon as the first decision of this round is in the log, that is before, while
        # or just after it is carried out.
        await pipeline.ledger_until(more_decisions_than(start))
        await pipeline.crash_handlers()
        await pipeline.start_handler()
    await check_all_followed(pipeline, jobs)


async def test_two_handlers_that_both_think_they_own_everything_agree(pipeline: Pipeline) -> None:
    jobs = [pipeline.job() for _ in range(300)]
    await pipeline.claim(jobs, "x")
    await pipeline.start_handler("one")
    await pipeline.start_handler("other")
    for start in range(0, len(jobs), 50):
        await pipeline.fail(jobs[start : start + 50], "x", "transient" if start % 100 else "permanent")
    await check_all_followed(pipeline, jobs)


async def check_all_followed(pipeline: Pipeline, jobs: list[AcceptedJob]) -> None:
    """Every closure has one decision that holds, and what was carried out is what it says."""
    events = await pipeline.ledger_until(lambda found: len(decisions(found)) >= len(jobs))
    chosen = {decided.origin: decided for decided in decisions(events)}
    assert len(chosen) == len(decisions(events)) == len(jobs)
    retried = {origin for origin, decided in chosen.items() if decided.action is Action.RETRY}
    assert len(retried) == len(jobs) // 2
    following = await pipeline.released(len(retried))
    assert {(job.origin, job.n, job.attempt) for job in following} == {(o, 2, 2) for o in retried}
    letters = await pipeline.read_until(
        [pipeline.routes.dead],
        lambda found: (
            len({decode_dead(record).last.job.origin for record in found}) >= len(jobs) - len(retried)
        ),
    )
    assert {decode_dead(record).last.job.origin for record in letters} == set(chosen) - retried
    await pipeline.stop_handlers()


async def test_only_the_silent_executor_loses_its_claims(pipeline: Pipeline) -> None:
    pipeline.lease_s = SHORT_LEASE_S
    silent, living = [pipeline.job() for _ in range(5)], [pipeline.job() for _ in range(5)]
    forgotten, closed = living[0], pipeline.job()

    async def live() -> None:
        seq = 0
        while True:
            seq += 1
            await pipeline.beat("living", seq, living[1:])
            await asyncio.sleep(HEARTBEAT_S)

    async with while_running(live()):
        await pipeline.beat("silent", 1, silent)
        await pipeline.claim(silent, "silent")
        await pipeline.claim([*living, closed], "living")
        await pipeline.fail([closed], "living", "permanent")
        await pipeline.start_handler()
        events = await pipeline.ledger_until(lambda found: len(losses(found)) >= len(silent) + 1)
        found = losses(events)
        lapsed = {job.origin: LossReason.LEASE_LAPSED for job in silent}
        assert found == lapsed | {forgotten.origin: LossReason.NOT_HELD}
        following = {job.origin: job for job in await pipeline.released(len(found))}
        past = {origin: job.past for origin, job in following.items()}
        lost = [msgspec.structs.replace(j, n=2, attempt=1, past=past[j.origin]) for j in [*silent, forgotten]]
        assert following == {job.origin: job for job in lost}
        assert {one.error_class for job in lost for one in job.past} == {"lost"}
    records = await pipeline.read_until([pipeline.routes.dlq], lambda found: len(found) >= 7)
    written = [decode_failed(record) for record in records]
    assert sorted(a.job.origin for a in written if a.error_class == "lost") == sorted(found)


async def test_a_goodbye_gives_up_what_is_still_open_without_waiting_for_the_lease(
    pipeline: Pipeline,
) -> None:
    job = pipeline.job()
    await pipeline.start_handler()
    await pipeline.beat("leaving", 1, [])
    await pipeline.claim([job], "leaving")
    await pipeline.beat("leaving", 2, [], goodbye=True)
    events = await pipeline.ledger_until(lambda found: bool(losses(found)))
    assert losses(events) == {job.origin: LossReason.GOODBYE}


async def test_claims_of_an_executor_never_heard_of_are_lost(pipeline: Pipeline) -> None:
    pipeline.lease_s = SHORT_LEASE_S
    job = pipeline.job()
    await pipeline.claim([job], "ghost")
    await pipeline.start_handler()
    events = await pipeline.ledger_until(lambda found: bool(losses(found)))
    assert losses(events) == {job.origin: LossReason.LEASE_LAPSED}


async def test_a_broker_that_dies_and_comes_back_within_the_lease_loses_nobody(
    pipeline: Pipeline, servers: Servers
) -> None:
    if servers.data is None:
        pytest.skip("only an embedded broker can be killed")
    pipeline.lease_s = 2 * DEADLINE_S
    first, job, gone = pipeline.job(), pipeline.job(), pipeline.job()
    await pipeline.beat("living", 1, [job])
    await pipeline.claim([first, job], "living")
    await pipeline.fail([first], "living", "permanent")
    await pipeline.start_handler()
    await pipeline.read_until([pipeline.routes.dead], lambda found: len(found) >= 1)
    servers.kill("kafka")
    # Waits until the broker is back, as an executor does.
    await pipeline.beat("living", 2, [job])
    await pipeline.claim([gone], "leaving")
    await pipeline.beat("leaving", 1, [], goodbye=True)
    events = await pipeline.ledger_until(lambda found: bool(losses(found)))
    assert losses(events) == {gone.origin: LossReason.GOODBYE}
    await pipeline.fail([job], "living", "permanent")
    await pipeline.read_until([pipeline.routes.dead], lambda found: len(found) >= 2)


@contextlib.asynccontextmanager
async def while_running(work: Awaitable[None]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
