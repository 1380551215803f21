"""How soon: from a ready job to its bucket, with the parts of its score; or why it has none. Pure."""

from typing import NamedTuple

import msgspec

from core.buckets import bucket_of
from core.fault import FaultClass
from core.learning.law import OrderLaw
from core.learning.preemption import PREDICTED, Foreseen, Way
from core.ledger.notes import Queued, Scored
from core.ledger.verdicts import Preempted
from core.log import NewRecord
from core.priority import cost_bucket, score
from core.subjects import HeldFor
from penstock.identity import home
from schemas.accepted_job import AcceptedJob, FailedAttempt, Predicted, QueuedJob
from schemas.codec import job_record, ledger_record
from schemas.held import held_note, held_record
from schemas.routing import fits, too_large
from schemas.topics import RouteMap
from services.prioritizer.expect import RULE, Expected, Rivals


class Placement(NamedTuple):
    """A scored dispatch and the note that says how it came by its score."""

    queued: QueuedJob
    note: Queued


class Queueing(NamedTuple):
    """The records that queue a dispatch."""

    records: list[NewRecord]
    bucket: int


class Ranking(NamedTuple):
    """What a score is made from besides the job itself."""

    expected: Expected
    law: OrderLaw
    excess: float = 1.0
    """Share of recent work of the job's tenant, in units of an equal share."""

    @property
    def is_diverted(self) -> bool:
        """Whether it is not to run now."""
        scored = self.expected.scored
        return scored is not None and scored.way == Way.DIVERTED


def queue(routes: RouteMap, job: AcceptedJob, ready_ms: int, ranking: Ranking) -> Queueing | str:
    """Make the records that queue a ready dispatch, or say why no execution topic takes it.

    A pool may be taken out of the configuration after ingest took the job in: its topics may not
    exist then, and one append that waits for them would hold up all pools.
    """
    if job.pool not in routes.pools:
        return f"there is no pool {job.pool!r} any more (PENSTOCK_POOLS)"
    queued, note = place(job, ready_ms, ranking)
    topic = routes.execution(job.pool, queued.bucket)
    record = job_record(topic, home(job.job_id, routes.partitions), queued, job, b"QUEUED")
    if not fits(record):
        return too_large(record)
    return Queueing([ledger_record(routes, note), record], queued.bucket)


def ready_at(job: AcceptedJob, ready_ms: int) -> AcceptedJob:
    """Note when a dispatch first became ready; one that was held since keeps that time."""
    return job if job.ready_ms is not None else msgspec.structs.replace(job, ready_ms=ready_ms)


def hold(routes: RouteMap, job: AcceptedJob, held_for: HeldFor) -> list[NewRecord]:
    """Make the records that hold a dispatch of what is paused: it is scored when it is ready again."""
    note = held_note(job, held_for, queued=False)
    return [ledger_record(routes, note), held_record(routes, job, held_for)]


def never_queued(job: AcceptedJob, problem: str, now_ms: int) -> FailedAttempt:
    """Make what stands in ``jobs.dlq`` of a dispatch that no execution topic takes."""
    return FailedAttempt(job, "", str(FaultClass.PERMANENT), "NeverQueued", problem, now_ms)


def foreseen_failure(job: AcceptedJob, foreseen: Foreseen, now_ms: int) -> FailedAttempt:
    """Make what stands in ``jobs.dlq`` of a dispatch that is not run because it is expected to fail."""
    return FailedAttempt(job, "", PREDICTED, "PredictedFailure", foreseen.words, now_ms, foreseen=foreseen)


def diversion(routes: RouteMap, attempt: FailedAttempt, scored: Scored | None, dlq_offset: int) -> NewRecord:
    """Make the verdict that takes an unclaimed dispatch out of the queue."""
    job, foreseen = attempt.job, attempt.foreseen
    p_fail = 1.0 if foreseen is None else round(foreseen.probability, 4)
    return ledger_record(routes, Preempted(job.origin, job.job_id, job.n, p_fail, dlq_offset, scored))


def marked(expected: Expected, way: Way) -> Expected:
    """Note what is done about a dispatch that is expected to fail."""
    assert expected.foreseen is not None
    assert expected.scored is not None
    scored = msgspec.structs.replace(expected.scored, point=expected.foreseen.point, way=str(way))
    return expected._replace(scored=scored)


def place(job: AcceptedJob, ready_ms: int, ranking: Ranking) -> Placement:
    """Score one ready dispatch; ``ready_ms`` is its append time in ``jobs.ready``."""
    expected, law = ranking.expected, ranking.law
    scored = score(
        predicted_run_s=expected.run_s,
        high_run_s=expected.high_s,
        failed=expected.failed,
        excess=ranking.excess,
        own=job.urgency,
        inherited=job.inherited,
        now_ms=ready_ms,
        rule=law.rule,
        spread=law.spread,
    )
    bucket = bucket_of(scored.head_start_s, law.rule.per_decade_s)
    note = Queued(
        origin=job.origin,
        job_id=job.job_id,
        n=job.n,
        bucket=bucket,
        head_start_s=scored.head_start_s,
        score_parts=scored.parts,
        ready_ms=ready_ms,
        attempt=job.attempt,
        p_fail=round(expected.failed, 4) if expected.model != RULE else None,
        predicted_run_s=round(expected.run_s, 4),
        model_version=expected.model,
        scored=expected.scored,
    )
    way = "" if expected.scored is None else expected.scored.way
    predicted = None if expected.rivals is None else _predicted(expected.rivals, law)
    return Placement(QueuedJob(job, ready_ms, bucket, scored.head_start_s, predicted, way), note)


def _predicted(rivals: Rivals, law: OrderLaw) -> Predicted:
    return Predicted(
        rivals.model,
        cost_bucket(rivals.by_model_s, law.rule, law.spread),
        cost_bucket(rivals.by_mean_s, law.rule, law.spread),
    )
