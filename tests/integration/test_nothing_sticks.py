"""Records a stage cannot produce, on a real broker: their job is closed, the next one goes on."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from core.ledger.notes import Queued
from core.ledger.verdicts import Action, Claimed, Decided, Failed, Preempted, Refused, Verdict
from core.log import NewRecord, size_bytes
from penstock.identity import home
from schemas.accepted_job import AcceptedJob
from schemas.codec import decode_dead, decode_event, decode_failed, job_record, ledger_record
from schemas.topics import APPEND_MAX_BYTES, JOB_MAX_BYTES
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import wait_until
from tests.support.servers import Servers

E = TypeVar("E")
APP = r"""
from penstock import task

@task("fails.loudly", max_attempts=1)
def fails_loudly(ctx, payload):
    for _ in range(200):
        ctx.log.info("\x1b" * 1000)
    raise ValueError("\x1b" * 1_000_000)

@task("echoes.numbers")
def echoes_numbers(ctx, payload):
    return [payload["number"]] * payload["times"]
"""


@pytest.fixture
def mine(servers: Servers, topic_prefix: str, tmp_path: Path) -> Iterator[Pipeline]:
    (tmp_path / "app_of_test.py").write_text(APP)
    with pipeline(servers, topic_prefix, tmp_path) as prepared:
        yield prepared


class Jobs:
    """Makes jobs at one home, so that whatever sticks stops those behind it."""

    def __init__(self, mine: Pipeline) -> None:
        self._mine = mine
        self._count = 0

    def job(self, type_: str = "unknown.type", payload: bytes = b"{}", **fields: Any) -> AcceptedJob:
        self._count += 1
        origin = f"{self._mine.epoch.epoch}:0:{self._count}"
        job_id = str(uuid.uuid4())
        while home(job_id, self._mine.routes.partitions) != 0:
            job_id = str(uuid.uuid4())
        raw = msgspec.Raw(payload)
        plain = AcceptedJob(
            origin, job_id, type_, "default", "default", raw, 5, 1, 60.0, 1, "0" * 16, "0" * 32
        )
        return msgspec.structs.replace(plain, **fields)

    def filled(self, topic: str, kind: bytes, size: int, **fields: Any) -> tuple[AcceptedJob, NewRecord]:
        """Make a job whose record takes exactly so many bytes in the topic."""
        job = self.job(payload=b'""', **fields)
        room = size - size_bytes(job_record(topic, 0, job, job, kind))
        job = msgspec.structs.replace(job, payload=msgspec.Raw(json.dumps("x" * room).encode()))
        record = job_record(topic, 0, job, job, kind)
        assert size_bytes(record) == size
        return job, record


def said(mine: Pipeline, job: AcceptedJob, kind: type[E]) -> list[E]:
    """What the ledger says of a job, of one kind."""
    events = [decode_event(record) for record in mine.read(mine.routes.ledger)]
    return [event for event in events if isinstance(event, kind) and event.job_id == job.job_id]


def test_the_scheduler_refuses_what_is_too_large_to_go_on(mine: Pipeline) -> None:
    jobs, gates = Jobs(mine), mine.routes.gates
    large, record = jobs.filled(gates, b"GATED", APPEND_MAX_BYTES, supplied_id=True)
    later, delayed = jobs.filled(gates, b"GATED", APPEND_MAX_BYTES, run_at_ms=4_000_000_000_000)
    normal = jobs.job(supplied_id=True)
    mine.append([record, delayed, job_record(gates, 0, normal, normal, b"GATED")])
    with mine.running("scheduler"):
        [ready] = mine.wait_for(mine.routes.ready, 1)
        wait_until(lambda: said(mine, later, Refused) and said(mine, large, Refused), "both are refused")
    assert (ready.key or b"").decode() == normal.job_id
    assert "bytes" in said(mine, large, Refused)[0].reason


def test_the_prioritizer_closes_what_it_can_never_queue_and_later_dispatches_end_as_dead(
    mine: Pipeline,
) -> None:
    jobs, ready = Jobs(mine), mine.routes.ready
    large, record = jobs.filled(ready, b"READY", JOB_MAX_BYTES)
    homeless = jobs.job(pool="gone", n=2, attempt=2)
    normal = jobs.job()
    # The first dispatch of the homeless job failed while its pool was there.
    topic = mine.routes.execution("default", 0)
    first: list[Verdict] = [
        Claimed(homeless.origin, homeless.job_id, 1, "x", topic, 0, 0),
        Failed(homeless.origin, homeless.job_id, 1, "x", 1, 0.1, "transient", "E", "", 0),
        Decided(homeless.origin, homeless.job_id, 1, Action.RETRY, "again", due_ms=1),
    ]
    mine.append(
        [
            *(ledger_record(mine.routes, verdict) for verdict in first),
            record,
            *(job_record(ready, 0, job, job, b"READY") for job in (homeless, normal)),
        ]
    )
    with mine.running("prioritizer"):
        wait_until(lambda: said(mine, normal, Queued), "the job behind them is queued", 60)
        wait_until(lambda: said(mine, homeless, Preempted), "the job without a pool is closed", 60)
        # Before that it would dispatch the homeless job again, from a failed attempt that is not in the log.
        with mine.running("dlq_handler"):
            [dead] = mine.wait_for(mine.routes.dead, 1)
    assert "bytes" in said(mine, large, Refused)[0].reason
    letter = decode_dead(dead)
    assert (letter.last.job.job_id, letter.error_class) == (homeless.job_id, "permanent")
    assert "gone" in letter.last.message


def test_the_largest_job_that_fails_as_loudly_as_it_can_is_closed_decided_and_buried(mine: Pipeline) -> None:
    jobs, ready = Jobs(mine), mine.routes.ready
    large, record = jobs.filled(ready, b"READY", JOB_MAX_BYTES - 100, type="fails.loudly")
    echo = json.dumps({"number": 7, "times": 250_000}).encode()
    masked = jobs.job("echoes.numbers", echo, sensitive=("/number",))
    mine.append([record, job_record(ready, 0, masked, masked, b"READY")])
    app = {
        "PENSTOCK_APP": "app_of_test",
        "PENSTOCK_APP_PATH": str(mine.directory),
        "PENSTOCK_RESULT_MAX_BYTES": "524288",
    }
    with mine.running("prioritizer", "dlq_handler"), mine.start("executor", **app):
        mine.wait_for(mine.routes.dead, 2, 90)
    letters = {decode_dead(r).last.job.job_id: decode_dead(r) for r in mine.read(mine.routes.dead)}
    loud = letters[large.job_id].last
    assert loud.error_type == "ValueError"
    assert bytes(loud.job.payload) == bytes(large.payload)
    assert (loud.traceback, loud.log_tail) == ("", ())
    assert letters[masked.job_id].last.error_type == "ResultTooLarge"
    assert letters[masked.job_id].error_class == "permanent"
    assert {decode_failed(r).job.job_id for r in mine.read(mine.routes.dlq)} == {large.job_id, masked.job_id}
