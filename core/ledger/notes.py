"""Notes: the records of ``jobs.events`` that inform and never change what may happen to a job."""

import msgspec

from core.gates.dependencies import DependsOn, OnParentFailure
from core.log import Coordinate


class _Note(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind"):
    origin: str
    job_id: str


class Accepted(_Note, frozen=True, omit_defaults=True, tag="ACCEPTED", tag_field="kind"):
    """Ingest took the job in. ``payload`` is masked at the ``sensitive`` pointers.

    Times are milliseconds since 1970; ``submitted_ms`` is the broker's append time in ``jobs``.
    """

    type: str
    tenant: str
    pool: str
    priority: int
    submitted_ms: int
    timeout_s: float
    max_attempts: int
    payload: msgspec.Raw
    payload_bytes: int
    trace_id: str
    run_at_ms: int | None = None
    deadline_ms: int | None = None
    expires_at_ms: int | None = None
    idempotency_key: str | None = None
    workflow_id: str | None = None
    ordering_key: str | None = None
    labels: dict[str, str] = {}
    depends_on: DependsOn = ()
    group: str | None = None
    on_parent_failure: OnParentFailure = OnParentFailure.SKIP


class Waiting(_Note, frozen=True, omit_defaults=True, tag="WAITING", tag_field="kind"):
    """The job is held back: ``on`` is ``due``, ``parents``, ``order``, ``id``, ``pause`` or ``limit``."""

    on: str
    n: int = 1
    due_ms: int | None = None
    queued: bool = False
    """It was taken out of the queue, and goes back there."""


class Repeated(_Note, frozen=True, omit_defaults=True, tag="REPEATED", tag_field="kind"):
    """A record named a job that is known already (same key or id); it does not run again.

    ``origin`` is the repeat's own; ``conflict`` says that its body differs, and then the repeat
    stands in ``jobs.rejected`` too.
    """

    first_origin: str
    conflict: bool = False


class Scored(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """What a dispatch was scored by, and what models expected of it, used or not."""

    at_ms: int
    """When it was scored, broker time."""
    features: str
    """``core.learning.features.FINGERPRINT`` of whoever scored it; empty: only what follows is logged."""
    vector: bytes
    """(n_features,) little-endian float32; empty likewise."""
    candidate: str = ""
    """The model these predictions are of, also one that is not trusted; empty: none."""
    log_run: float | None = None
    """Natural log of 1 + run time in ms."""
    failed: float | None = None
    """Probability that the dispatch fails."""
    shadow: str = ""
    """A model that is watched and never used."""
    shadow_log_run: float | None = None
    shadow_failed: float | None = None
    point: float | None = None
    """Of a dispatch that is predicted to fail: the model's point (``core/learning/preemption.py``)."""
    way: str = ""
    """What was done about it; empty: it is not above the point, or nobody looks."""


class Queued(_Note, frozen=True, omit_defaults=True, tag="QUEUED", tag_field="kind"):
    """The prioritizer put dispatch ``n`` into a bucket; ``score_parts`` are seconds of head start."""

    n: int
    bucket: int
    head_start_s: float
    score_parts: dict[str, float]
    ready_ms: int
    attempt: int = 1
    p_fail: float | None = None
    predicted_run_s: float | None = None
    model_version: str = "rule"
    scored: Scored | None = None
    """None: no features were at hand, or enough vectors are logged in this second already."""


class Progress(_Note, frozen=True, omit_defaults=True, tag="PROGRESS", tag_field="kind"):
    """A running task says how far it is, 0 to 1."""

    n: int
    fraction: float
    message: str = ""


class LogLine(msgspec.Struct, frozen=True, array_like=True):
    """One line a task logged; ``at_ms`` is the executor's estimate of broker time."""

    seq: int
    at_ms: int
    level: str
    message: str


class Logged(_Note, frozen=True, omit_defaults=True, tag="LOGGED", tag_field="kind"):
    """Lines a task logged while running dispatch ``n``."""

    n: int
    lines: tuple[LogLine, ...]


Note = Accepted | Waiting | Repeated | Queued | Progress | Logged


def coordinate_text(coordinate: Coordinate) -> str:
    """Write a coordinate as ``topic/partition/offset``, the form people see and type."""
    return f"{coordinate.topic}/{coordinate.partition}/{coordinate.offset}"
