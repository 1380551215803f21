"""Typical jobs at every point of their way, made by the pipeline's own code."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from core.gates.ended import Ended
from core.gates.gate import Gate
from core.learning.law import OLDEST_SHARE, law_of
from core.ledger.notes import Note, Queued
from core.ledger.verdicts import Claimed, Verdict
from core.log import NewRecord, Record
from core.priority import PriorityRule
from core.run_times import Completed, RunTimes
from core.states import State
from penstock.client.submission import encode_job
from penstock.worker.frames import JobOutcome, StartJob
from schemas.acceptance import accepted_note
from schemas.accepted_job import AcceptedJob, QueuedJob
from schemas.codec import encode, ledger_record
from schemas.executors import dispatch_key
from schemas.gate_keys import GateKeys
from schemas.gates import ended_record, entered_record
from schemas.topics import RouteMap
from services.executor.decide import close
from services.ingest.decide import Accepted, IngestContext, decide
from services.prioritizer.decide import Ranking, place
from services.prioritizer.expect import Expected

EPOCH = "bench001"
EXECUTOR = "executor-0-bench"
BASE_MS = 1_790_000_000_000
ROUTES = RouteMap(partitions=1)
CONTEXT = IngestContext(EPOCH, ROUTES.partitions, frozenset(ROUTES.pools))
RULE = PriorityRule()


def start_job(task: str, key: str, job_id: str, payload: bytes) -> StartJob:
    """Give the first attempt of a job as it is handed to a worker."""
    return StartJob(
        key=key,
        job_id=job_id,
        type=task,
        tenant="acme",
        attempt=1,
        dispatch=1,
        deadline_ms=None,
        labels={},
        payload=payload,
        timeout_s=60.0,
    )


def fields(number: int) -> dict[str, Any]:
    """Give a job as a producer writes it, about 230 bytes."""
    return {
        "type": "email.send",
        "tenant": "acme",
        "priority": 5,
        "timeout_s": 30,
        "labels": {"campaign": "autumn"},
        "payload": {
            "to": f"customer-{number}@example.com",
            "template": "order-confirmed",
            "order": {"id": number, "items": [{"sku": f"A-{number}", "quantity": 2}], "total": 41.90},
        },
    }


@dataclass(frozen=True)
class Sample:
    """The same jobs, number by number, at every stage; all at home on one partition."""

    submitted: list[dict[str, Any]]
    records: list[Record]
    """In ``jobs``."""
    accepted: list[Accepted]
    ready: list[Record]
    queued: list[QueuedJob]
    queued_notes: list[Queued]
    execution: list[Record]
    claims: list[Claimed]
    outcomes: list[JobOutcome]
    ledger: list[Record]
    """Four records a job: accepted, queued, claimed, succeeded."""
    ordered: list[Record]
    """The same, were each job of an ordering key of its own."""
    gate_log: list[Record]
    """In ``jobs.orders``: that they entered, and then that they ended."""


def make_sample(jobs: int) -> Sample:
    """Send so many jobs through the decisions of all services."""
    submitted = [fields(number) for number in range(jobs)]
    records = [_record(ROUTES.jobs, i, encode_job(job).value) for i, job in enumerate(submitted)]
    accepted = [accepted_of(record) for record in records]
    ready = [_record(ROUTES.ready, i, encode(one.job)) for i, one in enumerate(accepted)]
    scored_by = ranking()
    placed = [place(one.job, BASE_MS + 10, scored_by) for one in accepted]
    queued = [one.queued for one in placed]
    notes = [one.note for one in placed]
    claims = [claim(one.job, number) for number, one in enumerate(queued)]
    outcomes = [
        JobOutcome(dispatch_key(one.job.origin, one.job.n), ok=True, run_s=0.012, result=b'{"sent":true}')
        for one in queued
    ]
    return Sample(
        submitted=submitted,
        records=records,
        accepted=accepted,
        ready=ready,
        queued=queued,
        queued_notes=notes,
        execution=[_record("jobs.exec.default.b2", i, encode(one)) for i, one in enumerate(queued)],
        claims=claims,
        outcomes=outcomes,
        ledger=_ledger(accepted, notes, claims, queued, outcomes),
        ordered=_ledger([_ordered(one) for one in accepted], notes, claims, queued, outcomes),
        gate_log=_gate_log(accepted),
    )


def accepted_of(record: Record) -> Accepted:
    """Decide about a record that is valid."""
    decision = decide(record, CONTEXT)
    assert isinstance(decision, Accepted)
    return decision


def ranking() -> Ranking:
    """Give what the prioritizer scores by after some completions, without anything learned."""
    times = RunTimes()
    times.add(Completed("email.send", 100, 1.2))
    return Ranking(Expected("rule", times.expected_s("email.send")), law_of(None, RULE, OLDEST_SHARE))


def claim(job: AcceptedJob, offset: int) -> Claimed:
    """Make the claim of one dispatch."""
    topic = ROUTES.execution("default", 2)
    return Claimed(job.origin, job.job_id, job.n, EXECUTOR, topic, 0, offset, attempt=job.attempt)


def _ledger(
    accepted: Iterable[Accepted],
    notes: Iterable[Queued],
    claims: Iterable[Claimed],
    queued: Iterable[QueuedJob],
    outcomes: Iterable[JobOutcome],
) -> list[Record]:
    events: list[Verdict | Note] = [one.note for one in accepted if one.note is not None]
    events += [*notes, *claims]
    for one, outcome in zip(queued, outcomes, strict=True):
        started_ms = BASE_MS + 30
        ended = close(one.job, outcome, None, executor=EXECUTOR, started_ms=started_ms, now_ms=started_ms)
        events.append(ended.verdict)
    return [_read(ledger_record(ROUTES, event), offset) for offset, event in enumerate(events)]


def _ordered(one: Accepted) -> Accepted:
    job = msgspec.structs.replace(one.job, ordering_key=f"customer-{one.job.origin}")
    return Accepted(job, accepted_note(job), one.home, (Gate.ORDER,))


def _gate_log(accepted: Iterable[Accepted]) -> list[Record]:
    jobs = [_ordered(one).job for one in accepted]
    records = [entered_record(ROUTES, Gate.ORDER, job) for job in jobs]
    for offset, job in enumerate(jobs):
        ended = Ended(job.origin, job.job_id, 1, State.SUCCEEDED, 0, offset)
        (place,) = GateKeys(job.tenant, ordering_key=job.ordering_key).places(ROUTES)
        records.append(ended_record(place, ended))
    return [_read(record, offset) for offset, record in enumerate(records)]


def _read(new: NewRecord, offset: int) -> Record:
    """Give a record as a reader gives it."""
    return Record(new.topic, new.partition, offset, BASE_MS + offset, new.key, new.value, new.headers)


def _record(topic: str, offset: int, value: bytes) -> Record:
    return Record(topic, 0, offset, BASE_MS + offset, None, value, ())
