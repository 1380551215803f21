"""Trimming on real servers: it happens, the pipeline goes on, and nobody misses a record."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import msgspec
import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, OffsetAndMetadata
from aiokafka import TopicPartition as AioTopicPartition
from pydantic import SecretStr

from adapters.kafka.reader import reading
from adapters.kafka.retention import KafkaRetention
from adapters.postgres.comparison import Compared, compare
from adapters.postgres.migrate import upgrade
from adapters.postgres.refold import fold_ledger, read_table
from core.ledger.verdicts import Claimed, Lost
from core.log import NewRecord, TopicPartition
from core.services import JOB_SERVICES
from penstock.connection import DatabaseConnection
from penstock.identity import home
from schemas.accepted_job import AcceptedJob, QueuedJob
from schemas.codec import decode_delayed, decode_event, encode, job_record, ledger_record
from schemas.executors import Heartbeat
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import Program, wait_until
from tests.support.servers import Servers

APP = """
from penstock import RetryRule, task

@task("once")
def once(ctx, payload):
    return payload

@task("twice", retry=RetryRule(base="0.3s", cap="0.3s"))
def twice(ctx, payload):
    if ctx.attempt == 1:
        raise ConnectionError("again")
    return payload
"""
EAGER = {
    "PENSTOCK_JANITOR_S": "0.5",
    "PENSTOCK_JANITOR_STEP_RECORDS": "1",
    "PENSTOCK_LEDGER_KEEP_S": "0",
    "PENSTOCK_SNAPSHOT_EVERY": "20",
    "PENSTOCK_SNAPSHOT_EVERY_S": "1",
    "PENSTOCK_SNAPSHOT_NOT_BEFORE_S": "0",
    "PENSTOCK_GATES_TOLD_EVERY_S": "0.5",
    "PENSTOCK_GATES_SNAPSHOT_EVERY": "20",
    "PENSTOCK_GATES_SNAPSHOT_EVERY_S": "1",
    "PENSTOCK_GATES_SNAPSHOT_NOT_BEFORE_S": "0",
    "PENSTOCK_WORKERS": "1",
    "PENSTOCK_LEASE_S": "6",
    "PENSTOCK_HEARTBEAT_S": "0.5",
}
"""Trims everything nobody needs, at once."""
WAVE = 40
SOME = 4
Answer = TypeVar("Answer")


@pytest.fixture
def mine(servers: Servers, topic_prefix: str, database_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    upgrade(DatabaseConnection(url=SecretStr(database_url)))
    (tmp_path / "tasks_of_test.py").write_text(APP)
    with pipeline(servers, topic_prefix, tmp_path, database_url=database_url) as prepared:
        yield prepared


def settings_of(mine: Pipeline) -> dict[str, str]:
    return EAGER | {"PENSTOCK_APP": "tasks_of_test", "PENSTOCK_APP_PATH": str(mine.directory)}


def submit(mine: Pipeline, count: int) -> None:
    """Submit jobs of which every other one fails first, and a known key; wait until all are in the table."""

    async def wave() -> None:
        async with mine.client() as client:
            handles = [await client.submit("twice" if n % 2 else "once", {"n": n}) for n in range(count)]
            handles.append(await client.submit("once", {}, idempotency_key="always the same"))
            rows = [await client.wait(handle, timeout_s=90) for handle in handles]
        assert {row.state for row in rows} == {"succeeded"}

    asyncio.run(wave())


def submit_until(mine: Pipeline, condition: Callable[[], object], what: str) -> int:
    """Submit jobs until the condition holds; give how many.

    A snapshot is written when there is news, and until then the one before it is kept and begun at.
    """
    submitted = 0

    def holds() -> object:
        nonlocal submitted
        submit(mine, SOME)
        submitted += SOME
        return condition()

    wait_until(holds, what, 60)
    return submitted


def ask(mine: Pipeline, question: Callable[[KafkaRetention], Awaitable[Answer]]) -> Answer:
    async def asked() -> Answer:
        retention = KafkaRetention(mine.kafka, client_id="test")
        await retention.start()
        try:
            return await question(retention)
        finally:
            await retention.close()

    return asyncio.run(asked())


def left(mine: Pipeline, *topics: str) -> dict[str, int]:
    """Count the records that topics still have."""
    places = [TopicPartition(topic, number) for topic in topics for number in range(mine.routes.partitions)]
    bounds = ask(mine, lambda retention: retention.bounds(places))
    return {topic: sum(b.end - b.start for tp, b in bounds.items() if tp.topic == topic) for topic in topics}


def start_of(mine: Pipeline, topic: str, partition: int = 0) -> int:
    place = TopicPartition(topic, partition)
    return ask(mine, lambda retention: retention.bounds([place]))[place].start


def trim(mine: Pipeline, topic: str, partition: int, before: int) -> None:
    ask(mine, lambda retention: retention.trim({TopicPartition(topic, partition): before}))


def compared(mine: Pipeline) -> Compared:
    async def both() -> Compared:
        found = await read_table(mine.database_url, mine.epoch.epoch)
        async with reading(mine.kafka, client_id="verify") as reader:
            fresh = await fold_ledger(reader, mine.routes, mine.epoch.epoch, found.positions)
        return compare(*fresh, found.rows, mine.routes.partitions)

    return asyncio.run(both())


def work_topics(mine: Pipeline) -> list[str]:
    routes = mine.routes
    return [routes.jobs, routes.gates, routes.ready, *routes.executions("default"), *routes.delays]


def finishes(program: Program, code: int) -> str:
    assert program.process.wait(60) == code
    return program.output


def test_everything_read_goes_and_every_service_starts_again_on_what_is_left(mine: Pipeline) -> None:
    names = list(JOB_SERVICES)
    with mine.running(*names, **settings_of(mine)):
        submit(mine, WAVE)
        wait_until(lambda: not any(left(mine, *work_topics(mine)).values()), "all work trimmed", 60)
        ledger = mine.routes.ledger
        between = submit_until(
            mine, lambda: all(start_of(mine, ledger, number) for number in (0, 1)), "a shorter ledger"
        )
        submit(mine, WAVE)
    ends = sum(left(mine, mine.routes.ledger).values())
    with ExitStack() as stack:
        again = [stack.enter_context(mine.start(name, **settings_of(mine))) for name in names]
        submit(mine, WAVE)
        wait_until(lambda: not any(left(mine, *work_topics(mine)).values()), "all work trimmed again", 60)
        assert sum(left(mine, mine.routes.ledger).values()) < ends + 12 * WAVE
        assert all(program.process.poll() is None for program in again)
    result = compared(mine)
    assert result.differences == []
    assert result.left_out > 0
    with psycopg.connect(mine.database_url) as connection:
        states = connection.execute("SELECT state, count(*) FROM jobs GROUP BY 1").fetchall()
    assert states == [("succeeded", 3 * WAVE + between + 1)], "a key is known although its gate was trimmed"
    a_table_below_the_ledgers_start_stops_the_materializer_with_the_remedy(mine)


def a_table_below_the_ledgers_start_stops_the_materializer_with_the_remedy(mine: Pipeline) -> None:
    with psycopg.connect(mine.database_url, autocommit=True) as connection:
        connection.execute("UPDATE stage_offsets SET next_offset = 0")
    with mine.start("materializer") as program:
        said = finishes(program, 1)
    assert "older records are trimmed" in said
    assert "`penstock rebuild`" in said


def append(mine: Pipeline, *records: NewRecord) -> list[int]:
    return [place.offset for place in mine.append(records)]


def a_job(mine: Pipeline, number: int) -> AcceptedJob:
    """Give a job of partition 0."""
    while home(job_id := str(uuid.uuid4()), mine.routes.partitions):
        pass
    origin = f"{mine.epoch.epoch}:0:{number}"
    return AcceptedJob(origin, job_id, "t", "default", "default", msgspec.Raw(b"{}"), 5, 0, 10.0, 3, "", "")


def queue(mine: Pipeline, jobs: Sequence[AcceptedJob], pool: str = "default") -> list[int]:
    topic = mine.routes.execution(pool, 0)
    return append(mine, *(job_record(topic, 0, QueuedJob(job, 0, 0, 0.0), job, b"QUEUED") for job in jobs))


def commit(mine: Pipeline, group: str, offsets: dict[TopicPartition, int]) -> None:
    """Commit for a group that has no members."""

    async def once() -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=mine.kafka.bootstrap,
            group_id=mine.routes.group(group),
            enable_auto_commit=False,
        )
        await consumer.start()
        consumer.assign([AioTopicPartition(*place) for place in offsets])
        await consumer.commit({AioTopicPartition(*tp): OffsetAndMetadata(n, "") for tp, n in offsets.items()})
        await consumer.stop()

    asyncio.run(once())


def claim(mine: Pipeline, job: AcceptedJob, offset: int, executor: str) -> None:
    topic = mine.routes.execution("default", 0)
    append(mine, ledger_record(mine.routes, Claimed(job.origin, job.job_id, 1, executor, topic, 0, offset)))


def test_a_claim_holds_its_dispatch_and_its_loss_reads_it_after_trimming(mine: Pipeline) -> None:
    topic = mine.routes.execution("default", 0)
    jobs = [a_job(mine, number) for number in range(10)]
    offsets = queue(mine, jobs)
    append(
        mine, NewRecord(mine.routes.executors, 0, b"x", encode(Heartbeat("x", "x", "default", 1, (), 32, 0)))
    )
    claim(mine, jobs[4], offsets[4], "x")
    commit(mine, "executor.default", {TopicPartition(topic, 0): 10})

    def lost() -> bool:
        events = map(decode_event, mine.read(mine.routes.ledger))
        return any(isinstance(event, Lost) for event in events)

    with mine.start("dlq_handler", **EAGER | {"PENSTOCK_LEASE_S": "600"}):
        wait_until(lambda: start_of(mine, topic) == 4, "trimmed up to the open claim", 30)
    assert not lost()
    with mine.start("dlq_handler", **EAGER):
        wait_until(lambda: start_of(mine, topic) == 10, "its dispatch goes when it is settled", 60)
    delayed = [decode_delayed(record).job for record in mine.read(*mine.routes.delays)]
    assert lost()
    assert [(job.origin, job.n) for job in delayed] == [(jobs[4].origin, 2)]


def test_a_pool_that_never_ran_and_a_reader_that_stands_still_hold_what_they_have_not_read(
    servers: Servers, topic_prefix: str, tmp_path: Path
) -> None:
    pools = ("default", "gpu")
    with pipeline(servers, topic_prefix, tmp_path, pools=pools) as mine:
        queue(mine, [a_job(mine, number) for number in range(10)])
        queue(mine, [a_job(mine, number) for number in range(10)], "gpu")
        default, gpu = (TopicPartition(mine.routes.execution(pool, 0), 0) for pool in pools)
        commit(mine, "executor.default", {default: 6})
        with mine.start("dlq_handler", **EAGER | {"PENSTOCK_POOLS": ",".join(pools)}):
            wait_until(lambda: start_of(mine, default.topic) == 6, "trimmed up to its reader", 30)
            commit(mine, "executor.default", {default: 8})
            wait_until(lambda: start_of(mine, default.topic) == 8, "trimmed with its reader", 30)
            assert start_of(mine, gpu.topic) == 0


def test_records_deleted_below_a_committed_offset_stop_the_stage_and_nothing_is_skipped(
    mine: Pipeline,
) -> None:
    append(mine, *(NewRecord(mine.routes.jobs, 0, None, b"{}") for _ in range(10)))
    commit(mine, "ingest", {TopicPartition(mine.routes.jobs, 0): 2})
    trim(mine, mine.routes.jobs, 0, 5)
    with mine.start("ingest") as program:
        said = finishes(program, 1)
    assert "not in the log any more" in said
    assert mine.read(mine.routes.rejected) == []
