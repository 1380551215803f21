"""Services begin at snapshots and lose nothing for it; a newer fold version stops the older code."""

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psycopg
import pytest
from pydantic import SecretStr

from adapters.kafka.admin import EpochError, ensure_epoch, require_epoch
from adapters.kafka.fold_version import announce_fold_version
from adapters.postgres.migrate import upgrade
from core.ledger.fold import FOLD_VERSION
from core.ledger.verdicts import Claimed, Failed, Succeeded
from core.log import NewRecord
from penstock.connection import DatabaseConnection
from penstock.identity import home
from schemas.accepted_job import AcceptedJob, FailedAttempt, QueuedJob
from schemas.codec import (
    FOLD_KIND,
    UnreadableRecordError,
    decode_accepted,
    decode_delayed,
    decode_event,
    encode,
    job_record,
    ledger_record,
)
from schemas.control import EpochRecord
from schemas.executors import Heartbeat
from schemas.ledger import LedgerFolds
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import wait_until
from tests.support.servers import Servers

FINISHED = 400
OFTEN = {"PENSTOCK_SNAPSHOT_EVERY": "100", "PENSTOCK_SNAPSHOT_NOT_BEFORE_S": "0"}


@pytest.fixture
def piped(servers: Servers, topic_prefix: str, database_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    with pipeline(servers, topic_prefix, tmp_path, database_url=database_url) as made:
        yield made


def a_job(piped: Pipeline, number: int) -> AcceptedJob:
    """Give a job of partition 0."""
    while home(job_id := str(uuid.uuid4()), piped.routes.partitions):
        pass
    origin = f"{piped.epoch.epoch}:0:{number}"
    return AcceptedJob(origin, job_id, "t", "default", "default", msgspec.Raw(b"{}"), 5, 0, 10.0, 3, "", "")


def append(piped: Pipeline, *records: NewRecord) -> list[int]:
    return [place.offset for place in piped.append(records)]


def claimed(job: AcceptedJob, executor: str = "x") -> Claimed:
    return Claimed(job.origin, job.job_id, 1, executor, "jobs.exec.default.b0", 0, 0)


def finish_many(piped: Pipeline) -> list[AcceptedJob]:
    jobs = [a_job(piped, number) for number in range(FINISHED)]
    claims = [ledger_record(piped.routes, claimed(job)) for job in jobs]
    ends = [Succeeded(job.origin, job.job_id, 1, "x", 0, 0.1) for job in jobs]
    append(piped, *claims, *(ledger_record(piped.routes, end) for end in ends))
    return jobs


def write_snapshot(piped: Pipeline) -> None:
    """Let a dlq_handler do it, of all there is."""
    with piped.start("dlq_handler", **OFTEN) as first:
        wait_until(lambda: "wrote a snapshot" in first.output, "a snapshot", 60)
        first.stop()


def fail(piped: Pipeline, job: AcceptedJob) -> None:
    attempt = FailedAttempt(job, "x", "transient", "Boom", "it broke", 0)
    (offset,) = append(piped, job_record(piped.routes.dlq, 0, attempt, job, b"FAILED"))
    verdict = Failed(job.origin, job.job_id, 1, "x", 0, 0.1, "transient", "Boom", "", offset)
    append(piped, ledger_record(piped.routes, verdict))


def released(piped: Pipeline) -> set[str]:
    """Give the origins of all second dispatches: in the wheel, or ready where they were due by then."""
    waiting = [decode_delayed(record).job for record in piped.read(*piped.routes.delays)]
    ready = [decode_accepted(record) for record in piped.read(piped.routes.ready)]
    return {job.origin for job in (*waiting, *ready)}


def test_a_dlq_handler_that_begins_at_a_snapshot_acts_on_what_follows_it(piped: Pipeline) -> None:
    """The job was claimed before the snapshot, so only a fold that has it finds the closure holding."""
    job = a_job(piped, FINISHED)
    beat = Heartbeat("x", "x", "default", 1, (f"{job.origin}/1",), 32, 0)
    append(piped, NewRecord(piped.routes.executors, 0, b"x", encode(beat)))
    append(piped, ledger_record(piped.routes, claimed(job)))
    finish_many(piped)
    write_snapshot(piped)
    fail(piped, job)

    with piped.start("dlq_handler") as second:
        wait_until(lambda: released(piped) == {job.origin}, "the next dispatch", 60)
        assert "restored ledger partition 0" in second.output, second.output


def test_a_materializer_that_begins_at_a_snapshot_shows_what_follows_it(piped: Pipeline) -> None:
    upgrade(DatabaseConnection(url=SecretStr(piped.database_url)))

    def count(where: str) -> int:
        with psycopg.connect(piped.database_url) as connection:
            found = connection.execute(f"SELECT count(*) FROM jobs WHERE {where}").fetchone()
            return int(found[0]) if found else 0

    job = a_job(piped, FINISHED)
    append(piped, ledger_record(piped.routes, claimed(job)))
    finish_many(piped)
    with piped.start("materializer"):
        wait_until(lambda: count("state = 'succeeded'") == FINISHED, "all rows", 60)
    write_snapshot(piped)
    fail(piped, job)

    with piped.start("materializer") as again:
        wait_until(lambda: count(f"job_id = '{job.job_id}' AND state = 'retrying'"), "the failure", 60)
        assert "restored ledger partition 0" in again.output, again.output


def test_an_executor_that_begins_at_a_snapshot_claims_no_job_that_ended_before_it(piped: Pipeline) -> None:
    ended, fresh = finish_many(piped)[0], a_job(piped, FINISHED)
    write_snapshot(piped)
    topic = piped.routes.execution("default", 0)
    queued = [job_record(topic, 0, QueuedJob(job, 0, 0, 0.0), job, b"QUEUED") for job in (ended, fresh)]
    append(piped, *queued)

    def claims() -> list[str]:
        events = map(decode_event, piped.read(piped.routes.ledger))
        return [event.origin for event in events if isinstance(event, Claimed) and event.executor != "x"]

    with piped.start("executor", PENSTOCK_WORKERS="1") as executor:
        wait_until(claims, "a claim", 60)
        assert "restored ledger partition 0" in executor.output, executor.output
    assert set(claims()) == {fresh.origin}


def test_the_fold_version_is_announced_on_every_partition_and_stops_older_services(piped: Pipeline) -> None:
    newer = FOLD_VERSION + 1
    with piped.start("dlq_handler") as handler:
        wait_until(lambda: "runs on epoch" in handler.output, "its start", 60)
        asyncio.run(announce_fold_version(piped.kafka, piped.routes, newer))
        assert handler.process.wait(60) == 1
        assert f"run a Penstock that has version {newer}" in handler.output, handler.output

    ledger = piped.read(piped.routes.ledger)
    assert sorted(record.partition for record in ledger if record.header("kind") == FOLD_KIND) == [0, 1]
    folds = LedgerFolds(piped.epoch.epoch, with_notes=True)
    with pytest.raises(UnreadableRecordError, match=f"version {newer}"):
        folds.take(ledger)
    for check in (require_epoch, ensure_epoch):
        with pytest.raises(EpochError, match=f"under fold version {newer}, this is {FOLD_VERSION}"):
            asyncio.run(check(piped.kafka, piped.routes))


def test_the_version_in_force_is_announced_to_nobody(piped: Pipeline) -> None:
    found: EpochRecord = asyncio.run(ensure_epoch(piped.kafka, piped.routes))
    assert found == piped.epoch
    assert piped.read(piped.routes.ledger) == []
