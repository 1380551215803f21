"""The client on a real Kafka and Postgres, without services: what it writes, reads and promises."""

import asyncio
import contextlib
import signal
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from aiokafka import AIOKafkaProducer
from psycopg.types.json import Jsonb

from adapters.embedded.home import Home
from adapters.embedded.process_mark import signal_marked
from adapters.embedded.state import read_state
from adapters.postgres.migrate import upgrade
from core.ledger.verdicts import Cancel
from core.log import Record
from penstock.client import (
    Backpressure,
    Client,
    Job,
    JobRow,
    NotConnected,
    NotSent,
    OnFull,
    SubmittedRef,
    SyncClient,
    Unacknowledged,
)
from penstock.connection import DatabaseConnection, KafkaConnection, PipelineNames
from penstock.errors import JobFailed, JobRejected, WaitTimeout
from penstock.identity import Origin, job_id_from_key, job_id_from_origin
from schemas.ledger import LedgerFolds
from services.ingest.decide import Accepted, IngestContext, Rejected, decide
from tests.support.pipeline import Pipeline, pipeline
from tests.support.servers import Servers

ID = "6f1c9a52-8d0b-5c7e-9b1e-3f6d2a4c8e10"
WAIT_S = 20.0


@pytest.fixture
def mine(servers: Servers, topic_prefix: str, database_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    with pipeline(servers, topic_prefix, tmp_path, database_url=database_url) as prepared:
        yield prepared


@pytest.fixture
def tables(mine: Pipeline) -> Pipeline:
    upgrade(database_of(mine))
    return mine


def database_of(mine: Pipeline) -> DatabaseConnection:
    return DatabaseConnection.model_validate({"url": mine.database_url})


def arguments(mine: Pipeline) -> dict[str, Any]:
    names = PipelineNames(topic_prefix=mine.routes.prefix)
    return {"kafka": mine.kafka, "database": database_of(mine), "names": names}


def decisions(mine: Pipeline) -> dict[Origin, Accepted | Rejected]:
    """What ingest will make of everything in ``jobs``."""
    context = IngestContext(mine.epoch.epoch, mine.routes.partitions, frozenset({"default"}))
    return {
        Origin(mine.epoch.epoch, record.partition, record.offset): decide(record, context)
        for record in mine.read(mine.routes.jobs)
    }


def put_row(mine: Pipeline, job_id: str, state: str, **columns: Any) -> None:
    columns = {"job_id": job_id, "state": state, "state_rank": 1, **columns}
    names = psycopg.sql.SQL(", ").join(map(psycopg.sql.Identifier, columns))
    marks = psycopg.sql.SQL(", ").join([psycopg.sql.Placeholder()] * len(columns))
    statement = psycopg.sql.SQL("INSERT INTO jobs ({}) VALUES ({})").format(names, marks)
    with psycopg.connect(mine.database_url) as connection:
        connection.execute(statement, list(columns.values()))


def reject(mine: Pipeline, ref: SubmittedRef, value: bytes) -> None:
    """Write the refusal ingest would write."""
    record = Record(
        mine.routes.jobs, ref.origin.partition, ref.origin.offset, ref.timestamp_ms, None, value, ()
    )
    decision = decide(record, IngestContext("e", mine.routes.partitions, frozenset({"default"})))
    assert isinstance(decision, Rejected)
    refusal = msgspec.json.encode(decision.record)

    async def append() -> None:
        producer = AIOKafkaProducer(**mine.kafka.client_options())
        await producer.start()
        try:
            await producer.send_and_wait(mine.routes.rejected, refusal, partition=ref.origin.partition)
        finally:
            await producer.stop()

    asyncio.run(append())


def test_a_submitted_job_has_the_id_ingest_makes(mine: Pipeline) -> None:
    with SyncClient(**arguments(mine)) as client:
        refs = [
            client.submit("a.b"),
            client.submit("a.b", [1, None], priority=9, labels={"k": "v"}, traceparent="00-x"),
            client.submit("a.b", idempotency_key="k", tenant="acme"),
            client.submit("a.b", job_id=ID.upper()),
        ]
    made = decisions(mine)
    assert len(made) == len(refs)
    for ref in refs:
        decision = made[ref.origin]
        assert isinstance(decision, Accepted)
        assert ref.job_id == decision.job.job_id
        assert ref.timestamp_ms == decision.job.submitted_ms
    assert refs[0].job_id == job_id_from_origin(refs[0].origin, refs[0].timestamp_ms)
    assert refs[2].job_id == job_id_from_key("acme", "k")
    assert refs[3].job_id == ID


async def test_many_jobs_come_back_in_order_and_stand_where_they_say(mine: Pipeline) -> None:
    jobs: list[Job] = [{"type": "a.b", "payload": index} for index in range(5000)]
    async with Client(**arguments(mine)) as client:
        refs = await client.submit_many(iter(jobs))
    values = {(r.partition, r.offset): r.value for r in await mine.read_async(mine.routes.jobs)}
    assert len(values) == len(jobs)
    for index, ref in enumerate(refs):
        value = values[ref.origin.partition, ref.origin.offset]
        assert value is not None
        assert msgspec.json.decode(value)["payload"] == index
    assert {ref.origin.partition for ref in refs} == {0, 1}


def test_threads_may_share_a_client(mine: Pipeline) -> None:
    refs: list[SubmittedRef] = []

    def work(client: SyncClient) -> None:
        refs.extend(client.submit("a.b", index) for index in range(25))

    with SyncClient(**arguments(mine)) as client:
        threads = [threading.Thread(target=work, args=(client,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len({ref.job_id for ref in refs}) == 100
    assert set(decisions(mine)) == {ref.origin for ref in refs}


def test_a_cancel_stands_at_the_home_of_the_job_and_holds(mine: Pipeline) -> None:
    with SyncClient(**arguments(mine)) as client:
        ref = client.submit("a.b")
        client.cancel(ref, reason="changed my mind", by="me")
        client.cancel(ID)
    folds = LedgerFolds(mine.epoch.epoch, with_notes=True)
    events = folds.take(mine.read(mine.routes.ledger))
    found = {event.event.job_id: event.event for event in events if event.outcome and event.outcome.holds}
    assert found[ref.job_id] == Cancel(str(ref.origin), ref.job_id, "me", "changed my mind")
    assert found[ID].origin == ""


def test_a_wait_ends_with_the_row_of_the_ended_job(tables: Pipeline) -> None:
    with SyncClient(**arguments(tables)) as client:
        ref = client.submit("a.b")
        assert client.get(ref) is None
        put_row(tables, ref.job_id, "running", type="a.b")
        with pytest.raises(WaitTimeout, match=ref.job_id):
            client.wait(ref, timeout_s=0.05)
        waiting = threading.Timer(0.1, lambda: set_state(tables, ref.job_id, "succeeded", {"n": 1}))
        waiting.start()
        row = client.wait(ref, timeout_s=WAIT_S)
        waiting.join()
        assert isinstance(row, JobRow)
        assert (row.state, row.result, row.type) == ("succeeded", {"n": 1}, "a.b")
        assert client.result(ref.job_id) == {"n": 1}


def set_state(mine: Pipeline, job_id: str, state: str, result: Any) -> None:
    with psycopg.connect(mine.database_url) as connection:
        connection.execute(
            "UPDATE jobs SET state = %s, result = %s WHERE job_id = %s", (state, Jsonb(result), job_id)
        )


def test_the_result_of_a_dead_job_is_its_failure(tables: Pipeline) -> None:
    put_row(tables, ID, "dead", error_class="permanent", error_message="no such address")
    with (
        SyncClient(**arguments(tables)) as client,
        pytest.raises(JobFailed, match="no such address") as caught,
    ):
        client.result(ID, timeout_s=WAIT_S)
    assert (caught.value.state, caught.value.cause) == ("dead", "permanent")


def test_a_wait_finds_out_that_the_record_was_refused(tables: Pipeline) -> None:
    value = b'{"type":"a.b","priority":12}'
    with SyncClient(**arguments(tables)) as client:
        ok, ref = client.submit("a.b"), client.submit("a.b", priority=12)
        reject(tables, ref, value)
        with pytest.raises(JobRejected, match="0 \\(background\\)") as caught:
            client.wait_all([ok, ref], timeout_s=WAIT_S)
        assert (caught.value.reason, caught.value.field) == ("invalid_value", "priority")


def test_a_refusal_that_comes_while_waiting_is_found_too(tables: Pipeline) -> None:
    with SyncClient(**arguments(tables)) as client:
        first, second = client.submit("a.b", priority=12), client.submit("a.b", priority=13)
        for ref in (first, second):
            late = threading.Timer(0.6, reject, (tables, ref, b'{"type":"a.b","priority":12}'))
            late.start()
            with pytest.raises(JobRejected):
                client.wait(ref, timeout_s=WAIT_S)
            late.join()


def test_log_lines_come_in_the_order_they_were_written(tables: Pipeline) -> None:
    with psycopg.connect(tables.database_url) as connection:
        for n, seq in ((2, 0), (1, 1), (1, 0)):
            connection.execute(
                "INSERT INTO job_logs (job_id, n, seq, at, level, message) "
                "VALUES (%s, %s, %s, now(), 'info', 'x')",
                (ID, n, seq),
            )
    with SyncClient(**arguments(tables)) as client:
        assert [(line.n, line.seq) for line in client.logs(ID)] == [(1, 0), (1, 1), (2, 0)]
        assert client.logs(uuid.UUID(int=1)) == []


def test_a_client_goes_on_after_its_database_connection_broke(tables: Pipeline) -> None:
    with SyncClient(**arguments(tables)) as client:
        assert client.get(ID) is None
        with psycopg.connect(tables.database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'penstock-client' AND datname = current_database()"
            )
        assert client.get(ID) is None


def test_without_a_table_the_remedy_is_named(mine: Pipeline) -> None:
    with SyncClient(**arguments(mine)) as client, pytest.raises(NotConnected, match="penstock up"):
        client.get(ID)


def test_topics_that_were_never_prepared_are_named(servers: Servers, topic_prefix: str) -> None:
    kafka = KafkaConnection(bootstrap=servers.kafka_bootstrap)
    names = PipelineNames(topic_prefix=topic_prefix)
    with (
        SyncClient(kafka=kafka, names=names) as client,
        pytest.raises(NotConnected, match=f"{topic_prefix}control"),
    ):
        client.submit("a.b")


def test_no_kafka_at_all_is_said_and_closing_is_quick(unused_tcp_port: int) -> None:
    kafka = KafkaConnection(bootstrap=f"127.0.0.1:{unused_tcp_port}")
    with SyncClient(kafka=kafka) as client, pytest.raises(NotConnected, match="penstock up"):
        client.submit("a.b")


@contextlib.contextmanager
def stopped_broker(mine: Pipeline) -> Iterator[None]:
    """Stop the broker's process for the length of the block."""
    data = mine.servers.data
    if data is None:
        pytest.skip("only an embedded broker can be stopped for a moment")
    state = read_state(Home(data).state_file)
    assert state is not None
    broker = state.units["kafka"].mark
    assert broker is not None
    signal_marked(broker, signal.SIGSTOP)
    try:
        yield
    finally:
        signal_marked(broker, signal.SIGCONT)


async def test_producers_beyond_the_buffer_are_told_so_while_the_broker_is_away(mine: Pipeline) -> None:
    """Whatever is tried meanwhile, the buffer holds what it may; afterwards everything is as before."""
    payload = {"text": "x" * 10_000}
    async with Client(
        **arguments(mine), timeout_s=2.0, buffer_max_bytes=1_000_000, on_full=OnFull.RAISE
    ) as client:
        await client.submit("before")
        with stopped_broker(mine):
            tasks = [client.submit("during", payload) for _ in range(1000)]
            results = await asyncio.gather(*tasks, return_exceptions=True)
        refused = sum(isinstance(result, Backpressure) for result in results)
        assert 890 <= refused <= 910
        assert all(isinstance(result, Backpressure | NotSent | Unacknowledged) for result in results)
        await client.submit("after")
    values = [record.value or b"" for record in await mine.read_async(mine.routes.jobs)]
    assert sum(b"during" in value for value in values) <= 1000 - refused
    assert sum(b"after" in value for value in values) == 1


def test_a_submit_the_broker_does_not_answer_is_unknown_and_may_be_in_the_log(mine: Pipeline) -> None:
    """The record is under way when the client gives up."""
    with SyncClient(**arguments(mine), timeout_s=0.5) as client:
        client.submit("before")
        with (
            stopped_broker(mine),
            pytest.raises(Unacknowledged, match="idempotency_key") as caught,
        ):
            client.submit("during")
        assert caught.value.refs == (None,)
        assert caught.value.withdrawn == 0
    values = [record.value or b"" for record in mine.read(mine.routes.jobs)]
    assert sum(b"during" in value for value in values) == 1
