"""The scheduler as a process of its own, on a real broker."""

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar

import msgspec
import pytest

from adapters.kafka.admin import create_topics, ensure_epoch
from adapters.kafka.appender import KafkaAppender
from adapters.kafka.clock import BrokerClock
from adapters.kafka.reader import KafkaReader
from adapters.kafka.topology import route_map
from core.ledger.notes import Accepted, Repeated, Waiting
from core.ledger.verdicts import Expired
from core.log import NewRecord, Record, TopicPartition
from core.wheel import TICK_MS
from penstock.connection import KafkaConnection, PipelineNames
from penstock.identity import Origin, home, job_id_from_key, job_id_from_repeat
from schemas.accepted_job import AcceptedJob, DelayedJob
from schemas.codec import decode_accepted, decode_event, job_record
from schemas.rejected import RejectedRecord
from schemas.routing import delayed_record
from schemas.topics import RouteMap
from tests.support.processes import Program
from tests.support.servers import Servers

DEADLINE_S = 60.0
LATE_NOISE_MS = 400
"""What a shared two-core machine may add beside the tick and what the test itself measures: one
garbage collection of the broker, one turn of another process."""

E = TypeVar("E")


class Pipeline:
    """Topics of one test, its clock, and what was read of them so far."""

    def __init__(self, servers: Servers, prefix: str, directory: Path) -> None:
        self.environment = servers.environment | {"PENSTOCK_TOPIC_PREFIX": prefix, "PENSTOCK_PARTITIONS": "4"}
        names = PipelineNames(topic_prefix=prefix, partitions=4)
        self.routes: RouteMap = route_map(names)
        self.directory = directory
        self.clock = BrokerClock()
        self.epoch = ""
        self.seen: list[Record] = []
        self._kafka = KafkaConnection(bootstrap=servers.kafka_bootstrap)
        self.appender = KafkaAppender(self._kafka, self.clock, client_id="test")
        self._reader = KafkaReader(self._kafka, client_id="test-reader")

    async def __aenter__(self) -> Self:
        await create_topics(self._kafka, self.routes.specs(), 1)
        self.epoch = (await ensure_epoch(self._kafka, self.routes)).epoch
        await self.appender.start()
        await self._reader.start()
        watched = (self.routes.ready, self.routes.ledger, self.routes.rejected)
        await self._reader.assign({TopicPartition(topic, p): 0 for topic in watched for p in range(4)})
        await self.appender.append([NewRecord(self.routes.jobs, 0, None, b"{}")])
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._reader.close()
        await self.appender.close()

    @contextmanager
    def scheduler(self, instance: str = "scheduler-0", run: int = 0) -> Iterator[Program]:
        """Run a scheduler process."""
        output = self.directory / f"{instance}-{run}.log"
        environment = self.environment | {"PENSTOCK_INSTANCE": instance}
        with Program(output, "-m", "services.scheduler", env=environment) as program:
            yield program

    def job(self, number: int, **changes: object) -> AcceptedJob:
        """A job of this epoch; a key makes its id, as ingest does."""
        job = AcceptedJob(
            origin=str(Origin(self.epoch, 0, number)),
            job_id=f"0189c1f0-0000-7000-8000-{number:012x}",
            type="email.send",
            tenant="acme",
            pool="default",
            payload=msgspec.Raw(b'{"to":"a@b.c"}'),
            priority=5,
            submitted_ms=self.clock.now_ms(),
            timeout_s=300,
            max_attempts=5,
            body_hash=f"{7:016x}",
            trace_id="0" * 31 + "1",
        )
        job = msgspec.structs.replace(job, **changes)
        if job.idempotency_key is not None:
            job = msgspec.structs.replace(job, job_id=job_id_from_key(job.tenant, job.idempotency_key))
        return job

    async def submit(self, jobs: Iterable[AcceptedJob]) -> None:
        """Hand jobs to the gates as ingest does."""
        await self.appender.append(
            [job_record(self.routes.gates, home(job.job_id, 4), job, job, b"GATED") for job in jobs]
        )

    async def read_until(self, done: Callable[[], object], what: str) -> None:
        """Read what the scheduler writes until ``done``; fails the test at the deadline."""
        deadline_s = time.monotonic() + DEADLINE_S
        while not done():
            assert time.monotonic() < deadline_s, f"not within {DEADLINE_S} s: {what}"
            self.seen += await self._reader.poll(0.2)

    def ready(self) -> dict[str, Record]:
        """First record in ``jobs.ready`` of every origin."""
        found: dict[str, Record] = {}
        for record in self.seen:
            if record.topic == self.routes.ready:
                found.setdefault(decode_accepted(record).origin, record)
        return found

    def told(self, kind: type[E]) -> list[E]:
        """Events of one kind on the ledger."""
        events = [decode_event(record) for record in self.seen if record.topic == self.routes.ledger]
        return [event for event in events if isinstance(event, kind)]

    def rejected(self) -> list[RejectedRecord]:
        """What stands in ``jobs.rejected``."""
        records = [record for record in self.seen if record.topic == self.routes.rejected]
        return [msgspec.json.decode(record.value or b"", type=RejectedRecord) for record in records]


@pytest.fixture
async def pipeline(servers: Servers, topic_prefix: str, tmp_path: Path) -> AsyncIterator[Pipeline]:
    async with Pipeline(servers, topic_prefix, tmp_path) as running:
        yield running


async def longest_append_ms(pipeline: Pipeline, stop: asyncio.Event) -> float:
    """How slow this machine was meanwhile: an append and a turn of the loop, at its worst."""
    worst_ms = 0.0
    while not stop.is_set():
        start_s = time.monotonic()
        await pipeline.appender.append([NewRecord(pipeline.routes.jobs, 0, None, b"{}")])
        await asyncio.sleep(0.05)
        worst_ms = max(worst_ms, (time.monotonic() - start_s) * 1000 - 50)
    return worst_ms


async def test_due_jobs_are_never_early_and_late_by_a_tick_and_the_noise_of_the_machine(
    pipeline: Pipeline,
) -> None:
    stop = asyncio.Event()
    with pipeline.scheduler():
        await pipeline.submit([pipeline.job(0)])
        await pipeline.read_until(pipeline.ready, "the first job is ready")
        now_ms = pipeline.clock.now_ms()
        jobs = [pipeline.job(number, run_at_ms=now_ms + 3000 + 19 * number) for number in range(1, 301)]
        noise = asyncio.create_task(longest_append_ms(pipeline, stop))
        await pipeline.submit(jobs)
        await pipeline.read_until(lambda: len(pipeline.ready()) == 301, "all are ready")
        stop.set()
        bound_ms = TICK_MS + LATE_NOISE_MS + 4 * await noise
    ready = pipeline.ready()
    late_ms = sorted(ready[job.origin].timestamp_ms - (job.run_at_ms or 0) for job in jobs)
    assert late_ms[0] >= 0
    assert late_ms[150] <= TICK_MS + 50, "half of them within the promise and a hand-over"
    assert late_ms[-1] <= bound_ms
    assert len(pipeline.told(Waiting)) == 300


async def test_a_killed_scheduler_loses_nothing_and_lets_nothing_out_early(pipeline: Pipeline) -> None:
    with pipeline.scheduler() as first:
        await pipeline.submit([pipeline.job(0)])
        await pipeline.read_until(pipeline.ready, "the first job is ready")
        now_ms = pipeline.clock.now_ms()
        jobs = [pipeline.job(number, run_at_ms=now_ms + 500 + 15 * number) for number in range(1, 301)]
        jobs += [pipeline.job(number, idempotency_key=f"k{number}") for number in range(301, 401)]
        await pipeline.submit(jobs)
        await pipeline.read_until(lambda: len(pipeline.ready()) > 130, "some are ready")
        first.process.send_signal(signal.SIGKILL)
        first.process.wait(10)
        await pipeline.submit(
            [pipeline.job(500 + number, idempotency_key=f"k{number}") for number in (301, 400)]
        )
    with pipeline.scheduler(run=1):
        await pipeline.read_until(lambda: len(pipeline.ready()) == 401, "all are ready")
        await pipeline.read_until(
            lambda: len(pipeline.told(Repeated)) >= 2, "repeats are found after a restart"
        )
    ready = pipeline.ready()
    assert all(ready[job.origin].timestamp_ms >= (job.run_at_ms or 0) for job in jobs)
    assert {event.origin for event in pipeline.told(Repeated)} == {
        str(Origin(pipeline.epoch, 0, number)) for number in (801, 900)
    }


async def test_repeats_conflicts_and_keys_used_after_their_window(pipeline: Pipeline) -> None:
    later_ms = pipeline.clock.now_ms() + 25 * 3_600_000
    with pipeline.scheduler():
        await pipeline.submit(
            [
                pipeline.job(1, idempotency_key="k"),
                pipeline.job(2, idempotency_key="k"),
                pipeline.job(3, idempotency_key="k", body_hash=f"{8:016x}"),
                pipeline.job(4, idempotency_key="k", submitted_ms=later_ms),
                pipeline.job(5, supplied_id=True),
                pipeline.job(6, supplied_id=True, job_id=pipeline.job(5).job_id, submitted_ms=later_ms),
            ]
        )
        await pipeline.read_until(lambda: len(pipeline.told(Repeated)) == 3, "three repeats are told")
        await pipeline.read_until(lambda: len(pipeline.ready()) == 3, "three jobs are ready")
        await pipeline.read_until(pipeline.rejected, "the conflict is rejected")
    origins = {number: str(Origin(pipeline.epoch, 0, number)) for number in range(1, 7)}
    ready = {origin: decode_accepted(record).job_id for origin, record in pipeline.ready().items()}
    assert set(ready) == {origins[1], origins[4], origins[5]}
    assert ready[origins[4]] == job_id_from_repeat("acme", "k", Origin(pipeline.epoch, 0, 4))
    (conflict,) = pipeline.rejected()
    assert (conflict.reason, conflict.offset) == ("key_conflict", 3)
    assert len(pipeline.told(Accepted)) == 3


async def test_a_job_not_started_in_time_is_said_to_have_expired(pipeline: Pipeline) -> None:
    with pipeline.scheduler():
        # A scheduler may take longer to start than the job has.
        await pipeline.submit([pipeline.job(0)])
        await pipeline.read_until(pipeline.ready, "the first job is ready")
        now_ms = pipeline.clock.now_ms()
        soon = pipeline.job(1, expires_at_ms=now_ms + 8000)
        gone = pipeline.job(2, expires_at_ms=now_ms - 1)
        await pipeline.submit([soon, gone])
        await pipeline.read_until(lambda: len(pipeline.told(Expired)) == 2, "both have expired")
    assert set(pipeline.ready()) == {pipeline.job(0).origin, soon.origin}
    said = {
        event.origin: record.timestamp_ms
        for record in pipeline.seen
        if record.topic == pipeline.routes.ledger and isinstance(event := decode_event(record), Expired)
    }
    assert said[soon.origin] >= now_ms + 8000


async def test_a_second_scheduler_takes_partitions_over_and_knows_every_key(pipeline: Pipeline) -> None:
    with pipeline.scheduler("scheduler-0"):
        await pipeline.submit([pipeline.job(number, idempotency_key=f"k{number}") for number in range(100)])
        await pipeline.read_until(lambda: len(pipeline.ready()) == 100, "all are ready")
        waiting = pipeline.job(100, run_at_ms=pipeline.clock.now_ms() + 6000)
        await pipeline.submit([waiting])
        with pipeline.scheduler("scheduler-1") as second:
            await pipeline.read_until(lambda: _follows_some(second), "the second has its share")
            await pipeline.submit(
                [pipeline.job(200 + number, idempotency_key=f"k{number}") for number in range(100)]
            )
            await pipeline.read_until(lambda: len(pipeline.told(Repeated)) >= 100, "all are known")
            await pipeline.read_until(lambda: len(pipeline.ready()) == 101, "the waiting one is ready")
    assert pipeline.ready()[waiting.origin].timestamp_ms >= (waiting.run_at_ms or 0)


def _follows_some(scheduler: Program) -> bool:
    return re.search(r"follows partitions \[\d", scheduler.output) is not None


async def test_a_retry_put_into_the_wheel_by_another_service_becomes_ready(pipeline: Pipeline) -> None:
    now_ms = pipeline.clock.now_ms()
    retry = pipeline.job(1, n=2, attempt=2)
    record = delayed_record(pipeline.routes, DelayedJob(now_ms + 1300, "ready", retry), now_ms)
    assert record is not None
    await pipeline.appender.append([record])
    with pipeline.scheduler():
        await pipeline.read_until(pipeline.ready, "the retry is ready")
    ready = pipeline.ready()[retry.origin]
    assert decode_accepted(ready) == retry
    assert ready.timestamp_ms >= now_ms + 1300
