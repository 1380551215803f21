"""A valid job on its way through gates, wheel, ``jobs.ready`` and the execution topics."""

import msgspec

from core.dependencies import circuit_of
from core.gates.dependencies import DependsOn, OnParentFailure
from core.gates.order_gate import OnBusy
from core.learning.preemption import Foreseen
from core.urgency import Urgency

PAST_MAX = 20
"""Most earlier attempts that travel with a job: of one that is tried more often the newest."""
PAST_MESSAGE_MAX_CHARS = 200
PAST_TYPE_MAX_CHARS = 60
"""Of the message and the type of an earlier attempt. All of them together take 34 kB as JSON at the very
most, and some 4 kB as errors are; whole they stand in ``jobs.dlq``."""


class PastAttempt(msgspec.Struct, frozen=True, array_like=True):
    """A dispatch of a job that failed or was lost before the one it is on the way to."""

    n: int
    executor: str
    error_class: str
    error_type: str
    message: str
    failed_ms: int
    run_s: float


class AcceptedJob(msgspec.Struct, frozen=True, omit_defaults=True):
    """A job ingest accepted, with its identity and the dispatch it is on the way to.

    Times are milliseconds since 1970, broker time. ``payload`` is the producer's JSON, byte for
    byte and unmasked: these topics are for services, not for analysts.
    """

    origin: str
    job_id: str
    type: str
    tenant: str
    pool: str
    payload: msgspec.Raw
    priority: int
    submitted_ms: int
    timeout_s: float
    max_attempts: int
    body_hash: str
    """16 hex digits over every field that makes two submissions the same job."""
    trace_id: str
    """32 hex digits of the W3C trace context."""
    traceparent: str | None = None
    run_at_ms: int | None = None
    deadline_ms: int | None = None
    expires_at_ms: int | None = None
    idempotency_key: str | None = None
    supplied_id: bool = False
    """The producer chose ``job_id``, so repeats of it must be found."""
    workflow_id: str | None = None
    depends_on: DependsOn = ()
    """Until the job has passed the workflow gate."""
    group: str | None = None
    on_parent_failure: OnParentFailure = OnParentFailure.SKIP
    parent_results: dict[str, int] = {}
    """Once it has: where the successes of its parents stand, by job id, each in the ledger of its home."""
    parents_omitted: str = ""
    """Why ``parent_results`` does not say so."""
    ordering_key: str | None = None
    on_busy: OnBusy = OnBusy.WAIT
    sensitive: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    n: int = 1
    """Dispatch number."""
    attempt: int = 1
    """1 + closures that count against ``max_attempts``."""
    ready_ms: int | None = None
    """When this dispatch first became ready, once the prioritizer has seen it; holds do not change it."""
    held_for: str | None = None
    """What this dispatch was last held for in ``jobs.held``, as ``core.subjects.HeldFor`` writes it."""
    inherited_priority: int | None = None
    """Of what waits for it, when that is more than its own; stays through retries."""
    inherited_deadline_ms: int | None = None
    excused: int = 0
    """Failures that do not count against ``max_attempts``: the circuit of what failed was open."""
    past: tuple[PastAttempt, ...] = ()
    """Attempts that failed or were lost, the first first: so a dead letter tells of all of them."""
    headers: dict[str, str] = {}
    """Of the producer's record, as far as they are short text; ``traceparent`` stands by itself."""

    @property
    def circuit(self) -> str:
        """Name of the circuit it belongs to; reads the payload where a type calls many hosts."""
        return circuit_of(self.type, self.payload)

    @property
    def urgency(self) -> Urgency:
        """Its own urgency."""
        return Urgency(self.priority, self.deadline_ms)

    @property
    def inherited(self) -> Urgency | None:
        """The urgency it inherited; None when nothing was."""
        if self.inherited_priority is None and self.inherited_deadline_ms is None:
            return None
        return Urgency(self.inherited_priority or 0, self.inherited_deadline_ms)

    def inheriting(self, urgency: Urgency) -> "AcceptedJob":
        """Give the job with the urgency of something that waits for it, besides what it has inherited."""
        most = self.urgency.joined(self.inherited or self.urgency).joined(urgency)
        return msgspec.structs.replace(
            self,
            inherited_priority=most.priority if most.priority > self.priority else None,
            inherited_deadline_ms=most.deadline_ms if most.deadline_ms != self.deadline_ms else None,
        )


class Predicted(msgspec.Struct, frozen=True, array_like=True):
    """Where a model and the running mean would put a dispatch: how far to trust a model shows in the end.

    Both as buckets by cost alone, for it is buckets that order: a model may tell two jobs apart and still put
    both, with all others, into the same.
    """

    model: str
    by_model: int
    by_mean: int


class QueuedJob(msgspec.Struct, frozen=True, omit_defaults=True):
    """A scored dispatch in an execution topic."""

    job: AcceptedJob
    ready_ms: int
    """Broker time at which the dispatch became ready (append time in ``jobs.ready``)."""
    bucket: int
    head_start_s: float
    predicted: Predicted | None = None
    """None: no model was at hand."""
    way: str = ""
    """What was done about a dispatch that is predicted to fail (``core.learning.preemption.Way``)."""


class DelayedJob(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record of the delay wheel: when ``due_ms`` (broker time) has come, ``then`` happens."""

    due_ms: int
    then: str
    """``ready``: hand ``job`` to ``jobs.ready``. ``order``: to ``jobs.orders``. ``expire``: append EXPIRED
    for it."""
    job: AcceptedJob


class FailedAttempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record of ``jobs.dlq``: one dispatch that failed or was lost, with all that is known."""

    job: AcceptedJob
    executor: str
    error_class: str
    error_type: str
    message: str
    failed_ms: int
    run_s: float = 0.0
    traceback: str = ""
    log_tail: tuple[str, ...] = ()
    retry_after_s: float | None = None
    """What the failing dependency asked for (``Retry-After``)."""
    retry_base_s: float | None = None
    """The task's own retry rule, when it has one: backoff base and cap in seconds, and growth."""
    retry_cap_s: float | None = None
    retry_factor: float | None = None
    task_max_attempts: int | None = None
    """The task's own limit; the smaller of it and the job's holds."""
    foreseen: Foreseen | None = None
    """Of a dispatch that was diverted because a model expects it to fail."""
    unclassified: bool = False
    """Nothing says what kind of failure it was, so it is transient with a low cap."""
    uses: tuple[str, ...] = ()
    """What the task calls, by its own word (``uses``), or the host of ``http.request``."""


def remembering(attempt: FailedAttempt) -> AcceptedJob:
    """Give the job of an attempt with the attempt among its past ones."""
    job = attempt.job
    if any(past.n >= job.n for past in job.past):
        return job
    past = PastAttempt(
        job.n,
        attempt.executor,
        attempt.error_class,
        attempt.error_type[:PAST_TYPE_MAX_CHARS],
        attempt.message[:PAST_MESSAGE_MAX_CHARS],
        attempt.failed_ms,
        attempt.run_s,
    )
    return msgspec.structs.replace(job, past=(*job.past, past)[-PAST_MAX:])


class DeadJob(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record of ``jobs.dead``: a job that will not be tried again, and why."""

    last: FailedAttempt
    reason: str
    error_class: str
    failures: int
    losses: int
    dead_ms: int
    edited: str = ""
    """Of a copy with another payload, which only a redrive names: the act that made it. Else empty."""
