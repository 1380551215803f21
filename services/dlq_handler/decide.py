"""What the dlq_handler decides without touching anything: what is owed, and the records that pay it."""

from collections.abc import Callable, Iterable
from typing import NamedTuple, assert_never

import msgspec

from core.fault import FaultClass, fault_class
from core.keeper import DeclareLost
from core.learning.preemption import PREDICTED, Foreseen, hold_is_over
from core.ledger.fold import LedgerFold
from core.ledger.open_job import OpenJob, Phase
from core.ledger.verdicts import (
    Action,
    Decided,
    Failed,
    Lost,
    Preempted,
    Redriven,
    Released,
)
from core.log import Coordinate, NewRecord
from core.retry import (
    CIRCUIT_POLICY,
    Cause,
    ClosedDispatch,
    RetryDecision,
    RetryPolicy,
    decide_retry,
    draw_for,
)
from core.retrying.asked import Adviser
from core.signatures.shape import Shape, shape_of
from penstock.identity import home
from schemas.accepted_job import AcceptedJob, DeadJob, FailedAttempt, QueuedJob, remembering
from schemas.codec import encode, job_record, ledger_record
from schemas.ledger import FoldedEvent
from schemas.routing import onward, release_record
from schemas.topics import RouteMap
from services.dlq_handler.choose import choose

DEAD_MAX_BYTES = 900_000
"""A dead letter above this goes without traceback and log tail; under the broker's 1 MiB."""

PREEMPT_POLICY = "preempt"
"""Name of the policy that decides about what is expected to fail."""

Ended = Failed | Lost | Released | Preempted
"""Verdicts that are followed by a decision."""


class Failure(NamedTuple):
    """A failure that a decision is about."""

    shape: Shape
    task_type: str


class Undecided(NamedTuple):
    """A dispatch that ended without success and has no decision yet."""

    verdict: Ended
    job: OpenJob
    source: Coordinate
    """Where the job stands: a record of ``jobs.dlq``, or the queued dispatch."""


class Uncarried(NamedTuple):
    """A decision that holds and has to be carried out."""

    verdict: Decided
    decided_ms: int
    job: OpenJob
    source: Coordinate
    fault: FaultClass | None
    """What the dispatch died of; None when nothing failed."""


class Reopened(NamedTuple):
    """A dead job that a redrive opened again: its next dispatch has to be handed on."""

    verdict: Redriven
    source: Coordinate
    """Its dead letter."""


class Owed(NamedTuple):
    """What a stretch of the ledger asks of the handler."""

    undecided: list[Undecided]
    uncarried: list[Uncarried]
    reopened: list[Reopened]


def owed_by(events: Iterable[FoldedEvent], fold_of: Callable[[int], LedgerFold], dlq: str, dead: str) -> Owed:
    """Say what these events ask for, after all of them were folded.

    What the fold shows as settled further on is left out: a closure that is decided, a decision
    whose next dispatch is claimed already, a job that has ended otherwise. So is a redrive from elsewhere
    than a dead letter: whoever wrote it hands the job on.
    """
    owed = Owed([], [], [])
    for event in events:
        if event.outcome is None or not event.outcome.holds or event.outcome.job is None:
            continue
        job = event.outcome.job
        match event.event:
            case Failed() | Lost() | Released() | Preempted() as verdict:
                if _awaits_decision(fold_of(event.partition), job, verdict):
                    source = _source(verdict, job, event.partition, dlq)
                    owed.undecided.append(Undecided(verdict, job, source))
            case Decided() as verdict:
                if _is_owed(fold_of(event.partition), job, verdict):
                    owed.uncarried.append(_uncarried(event, verdict, job, dlq))
            case Redriven(topic=topic) as verdict if topic == dead:
                if _is_unclaimed(fold_of(event.partition), job, verdict.origin, verdict.n):
                    source = Coordinate(verdict.topic, verdict.partition, verdict.offset)
                    owed.reopened.append(Reopened(verdict, source))
            case _:
                pass
    return owed


def untold(owed: Owed) -> list[Undecided]:
    """Give the ended dispatches that no executor tells of as outcomes: it is gone, or did not run them."""
    return [item for item in owed.undecided if isinstance(item.verdict, Lost | Released)]


def _awaits_decision(fold: LedgerFold, job: OpenJob, verdict: Ended) -> bool:
    return fold.open.get(verdict.origin) is job and job.phase is Phase.CLOSED and job.n == verdict.n


def _is_owed(fold: LedgerFold, job: OpenJob, verdict: Decided) -> bool:
    match verdict.action:
        case Action.RETRY:
            return _is_unclaimed(fold, job, verdict.origin, verdict.n + 1)
        case Action.DEAD:
            return True
        case Action.HOLD:
            return False
        case _:
            assert_never(verdict.action)


def _is_unclaimed(fold: LedgerFold, job: OpenJob, origin: str, n: int) -> bool:
    return job.n == n and job.phase is Phase.UNCLAIMED and fold.open.get(origin) is job


def _uncarried(event: FoldedEvent, verdict: Decided, job: OpenJob, dlq: str) -> Uncarried:
    diverted = job.preempted is not None and job.preempted.n == verdict.n
    ended = job.preempted if diverted else job.closure
    if not isinstance(ended, Ended):
        raise TypeError(f"a decision on {verdict.origin}/{verdict.n} holds, but nothing closed that dispatch")
    source = _source(ended, job, event.partition, dlq)
    fault = _fault(ended) if isinstance(ended, Failed | Lost) else None
    return Uncarried(verdict, event.timestamp_ms, job, source, fault)


def _source(verdict: Ended, job: OpenJob, partition: int, dlq: str) -> Coordinate:
    match verdict:
        case Failed() | Lost() | Preempted():
            return Coordinate(dlq, partition, verdict.dlq_offset)
        case Released():
            if job.claim is None:
                raise TypeError(f"{verdict.origin}/{verdict.n} was handed back without a claim")
            return Coordinate(job.claim.topic, job.claim.partition, job.claim.offset)
        case _:
            assert_never(verdict)


def _fault(verdict: Ended) -> FaultClass:
    match verdict:
        case Failed():
            return fault_class(verdict.error_class)
        case Lost() | Released() | Preempted():
            return FaultClass.LOST
        case _:
            assert_never(verdict)


def _cause(verdict: Ended) -> Cause:
    match verdict:
        case Failed():
            return Cause.FAILED
        case Lost():
            return Cause.LOST
        case Released():
            return Cause.RELEASED
        case Preempted():
            return Cause.PREEMPTED
        case _:
            assert_never(verdict)


def failure_of(item: Undecided, attempt: FailedAttempt) -> Failure | None:
    """Give the failure that a decision is about; None: nothing failed."""
    match item.verdict:
        case Failed() as failed:
            shape = shape_of(failed.error_class, failed.error_type, attempt.message, attempt.traceback)
        case Lost() as lost:
            # The message names the executor; nothing of the app says where it was.
            shape = shape_of(FaultClass.LOST, attempt.error_type, lost.reason, "")
        case Released() | Preempted():
            return None
        case _:
            assert_never(item.verdict)
    return Failure(shape, attempt.job.type)


def decision(
    item: Undecided,
    attempt: FailedAttempt,
    now_ms: int,
    signature: str | None = None,
    memory: Adviser | None = None,
    *,
    is_excused: bool = False,
) -> Decided:
    """Decide about one dispatch; two decisions about the same one may differ, and the first holds.

    Parameters
    ----------
    signature
        Which failure it was; None: nothing failed, or it is not known.
    memory
        What was seen of failures, when delays are chosen by it; None: the rule alone chooses.
    is_excused
        The circuit of what it calls is open: the rule alone says when, and nothing is learned of that.
    """
    verdict, job = item.verdict, item.job
    if isinstance(verdict, Preempted) and attempt.foreseen is not None:
        return of_foreseen(verdict, attempt.foreseen)
    closed = ClosedDispatch(
        _cause(verdict),
        fault_class(attempt.error_class) if isinstance(verdict, Preempted) else _fault(verdict),
        failures=counted_failures(item, attempt),
        losses=job.losses,
        worker_deaths=job.worker_deaths,
        hand_backs=verdict.n - job.failures - job.losses,
        retry_after_s=attempt.retry_after_s,
        unclassified=attempt.unclassified,
        is_excused=is_excused,
    )
    policy, dispatch = policy_of(attempt), (verdict.origin, verdict.n)
    if is_excused or not isinstance(verdict, Failed):
        ruled = _decided(verdict, decide_retry(closed, policy, now_ms, draw_for(*dispatch)), signature)
        waits = is_excused and ruled.action is Action.RETRY
        return msgspec.structs.replace(ruled, policy=CIRCUIT_POLICY) if waits else ruled
    made = choose(closed, policy, attempt, now_ms, dispatch, signature or "", memory)
    return msgspec.structs.replace(
        _decided(verdict, made.decision, signature),
        policy=made.asked.policy,
        propensity=made.asked.propensity,
        chosen=made.chosen,
    )


def _decided(verdict: Ended, decided: RetryDecision, signature: str | None) -> Decided:
    return Decided(
        verdict.origin,
        verdict.job_id,
        verdict.n,
        decided.action,
        decided.reason,
        due_ms=decided.due_ms,
        error_class=decided.error_class,
        signature=signature,
    )


def of_foreseen(verdict: Preempted, foreseen: Foreseen) -> Decided:
    """Decide about what is expected to fail: hold it while its type's trouble looks passing, else end it."""
    said = f"it was not run: {foreseen.words}"
    if foreseen.is_passing:
        reason = f"{said}; its type fails more often than usual, so it is held until that is over"
        return Decided(verdict.origin, verdict.job_id, verdict.n, Action.HOLD, reason, policy=PREEMPT_POLICY)
    return Decided(
        verdict.origin,
        verdict.job_id,
        verdict.n,
        Action.DEAD,
        said,
        policy=PREEMPT_POLICY,
        error_class=PREDICTED,
    )


def after_hold(
    attempt: FailedAttempt, n: int, recent: float | None, now_ms: int, hold_ms: int
) -> Decided | None:
    """Decide that a held dispatch runs now, for good; None: it stays.

    Parameters
    ----------
    recent
        Share of the newest ends of its type that failed, as it is now; None: not known.
    """
    job, until_ms = attempt.job, attempt.failed_ms + hold_ms
    if attempt.foreseen is None:
        reason: str | None = "nothing says why it is held"
    else:
        reason = hold_is_over(attempt.foreseen, recent, now_ms, until_ms)
    if reason is None:
        return None
    return Decided(job.origin, job.job_id, n, Action.RETRY, reason, due_ms=now_ms, policy=PREEMPT_POLICY)


def counted_failures(item: Undecided, attempt: FailedAttempt) -> int:
    """Give how many failures of the job count, this one included."""
    return max(0, item.job.failures - attempt.job.excused)


def policy_of(attempt: FailedAttempt) -> RetryPolicy:
    """Give the job's policy; of its own and its task's limit of attempts the smaller holds."""
    limits = (attempt.job.max_attempts, attempt.task_max_attempts)
    return RetryPolicy(
        max_attempts=min(limit for limit in limits if limit is not None),
        base_s=attempt.retry_base_s,
        cap_s=attempt.retry_cap_s,
        factor=attempt.retry_factor,
    )


def carried_out(item: Uncarried, attempt: FailedAttempt, routes: RouteMap, now_ms: int) -> NewRecord:
    """Make the record that carries a decision out: the next dispatch, or the dead letter."""
    verdict = item.verdict
    if verdict.action is Action.DEAD:
        return _dead_letter(item, attempt, routes)
    job = attempt.job if item.fault is None else remembering(attempt)
    following = msgspec.structs.replace(
        job,
        n=verdict.n + 1,
        attempt=item.job.attempt,
        held_for=None,
        ready_ms=None,
        excused=attempt.job.excused + (verdict.policy == CIRCUIT_POLICY),
    )
    return release_record(routes, following, verdict.due_ms or now_ms, now_ms)


def handed_on(item: Reopened, letter: FailedAttempt, routes: RouteMap, now_ms: int) -> list[NewRecord]:
    """Make the records that hand a redriven job on, through its gates again; its attempts count anew."""
    job = remembering(letter)
    job = msgspec.structs.replace(job, n=item.verdict.n, attempt=1, ready_ms=None, excused=0)
    return onward(routes, job, None, now_ms)


def _dead_letter(item: Uncarried, attempt: FailedAttempt, routes: RouteMap) -> NewRecord:
    job = attempt.job
    error_class = item.verdict.error_class or attempt.error_class
    partition = home(job.job_id, routes.partitions)
    dead = DeadJob(
        attempt, item.verdict.reason, error_class, item.job.failures, item.job.losses, item.decided_ms
    )
    if len(encode(dead)) > DEAD_MAX_BYTES:
        cut = msgspec.structs.replace(attempt, traceback="", log_tail=())
        dead = msgspec.structs.replace(dead, last=cut)
    return job_record(routes.dead, partition, dead, job, b"DEAD")


def attempt_of_queued(queued: QueuedJob) -> FailedAttempt:
    """Wrap a dispatch that was handed back, so that both kinds of source look alike."""
    return FailedAttempt(queued.job, "", str(FaultClass.TRANSIENT), "Released", "it was handed back", 0)


def lost_attempt(loss: DeclareLost, job: AcceptedJob, now_ms: int) -> FailedAttempt:
    """Make the record of ``jobs.dlq`` for a lost claim."""
    claim = loss.claim
    message = f"executor {claim.executor} is gone or does not hold the job any more ({loss.reason})"
    return FailedAttempt(job, claim.executor, str(FaultClass.LOST), "ExecutorLost", message, now_ms)


def lost_verdict(loss: DeclareLost, dlq_offset: int, routes: RouteMap) -> NewRecord:
    """Make the verdict that closes a lost claim; ``dlq_offset`` names the record written before."""
    claim = loss.claim
    lost = Lost(claim.origin, claim.job_id, claim.n, claim.executor, str(loss.reason), dlq_offset)
    return ledger_record(routes, lost)
