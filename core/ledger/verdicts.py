"""Verdicts: the records of ``jobs.events`` that can change a job's state.

One meaning is one append. Whether a verdict holds is said by the fold alone (``fold.py``);
a verdict read raw from the topic means nothing.
"""

from enum import StrEnum

import msgspec

from core.ledger.notes import Scored


class Action(StrEnum):
    """What a decision says about a closed or pre-empted dispatch."""

    RETRY = "retry"
    HOLD = "hold"
    DEAD = "dead"


class _Verdict(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind"):
    origin: str
    """``epoch:partition:offset`` of the job's record in ``jobs``."""
    job_id: str


class Claimed(_Verdict, frozen=True, omit_defaults=True, tag="CLAIMED", tag_field="kind"):
    """An executor takes dispatch ``n``; written before running, acted on after reading it back."""

    n: int
    executor: str
    """Boot id: new at every start of an executor."""
    topic: str
    """With ``partition`` and ``offset``: where the keeper can re-read the job."""
    partition: int
    offset: int
    attempt: int = 1
    seq: int = 0
    """Counts the claims of one boot id, so that an executor knows which of its records has won."""


class Released(_Verdict, frozen=True, omit_defaults=True, tag="RELEASED", tag_field="kind"):
    """The claim holder hands back dispatch ``n`` unrun or undone; no attempt is used up.

    The job as dispatched stands at the claim's coordinate, so nothing is copied.
    """

    n: int
    executor: str
    reason: str


class Succeeded(_Verdict, frozen=True, omit_defaults=True, tag="SUCCEEDED", tag_field="kind"):
    """Dispatch ``n`` ended well."""

    n: int
    executor: str
    started_ms: int
    run_s: float
    result: msgspec.Raw = msgspec.Raw(b"null")


class Failed(_Verdict, frozen=True, omit_defaults=True, tag="FAILED", tag_field="kind"):
    """Dispatch ``n`` ended badly; the failed job stands at ``dlq_offset`` of ``jobs.dlq``."""

    n: int
    executor: str
    started_ms: int
    run_s: float
    error_class: str
    error_type: str
    message: str
    dlq_offset: int
    retry_after_s: float | None = None


class Lost(_Verdict, frozen=True, omit_defaults=True, tag="LOST", tag_field="kind"):
    """The keeper found that nobody can be running dispatch ``n`` any more."""

    n: int
    executor: str
    reason: str
    dlq_offset: int


class Preempted(_Verdict, frozen=True, omit_defaults=True, tag="PREEMPTED", tag_field="kind"):
    """The prioritizer diverts dispatch ``n`` before anybody claims it."""

    n: int
    p_fail: float
    dlq_offset: int
    scored: Scored | None = None
    """None: not because of a prediction."""


class Chosen(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a decision about a failure was chosen: what an evaluation needs besides how it ended."""

    arm: str
    """Which way of choosing delays was asked."""
    error_class: str
    delay_s: float | None = None
    """None: not again."""
    generation: str = ""
    """Of what was learned, the arm that is used most; empty: nothing was."""
    context: tuple[float, ...] = ()
    """What was known, in the order of ``core.retrying.context.CONTEXT``; shorter from an older version."""
    fingerprint: str = ""
    """Names the columns of ``vector`` (``core.retrying.features.FINGERPRINT``); empty: there is none."""
    vector: bytes = b""
    """(n_features,) float32, little-endian: what a model of recoveries is asked by, and trained on."""
    model: str = ""
    """Of recoveries, in force; empty: what the handler saw itself."""
    p_works: float | None = None
    """Chance that the next try works after this delay, as the one in force says."""
    shadow: str = ""
    """Model that is watched beside it; empty: none."""
    p_shadow: float | None = None
    """The same, as the shadow says."""


class Decided(_Verdict, frozen=True, omit_defaults=True, tag="DECIDED", tag_field="kind"):
    """What happens after dispatch ``n``; carried out only after it was read back as holding."""

    n: int
    action: Action
    reason: str
    due_ms: int | None = None
    """For a retry: broker time (ms since 1970) before which dispatch ``n + 1`` may not start."""
    policy: str = "rule"
    propensity: float = 1.0
    error_class: str | None = None
    """For a dead job: the class it died of (a transient error may end as ``poison``)."""
    signature: str | None = None
    """Which failure it was (``core.signatures``); None: nothing failed, or it was not known."""
    chosen: Chosen | None = None
    """Of a decision about a failure; ``propensity`` is the chance of its arm."""


class Cancel(_Verdict, frozen=True, omit_defaults=True, tag="CANCEL", tag_field="kind"):
    """A person or program wants the job not to run; ``origin`` may be empty when unknown."""

    by: str
    reason: str = ""


class Expired(_Verdict, frozen=True, omit_defaults=True, tag="EXPIRED", tag_field="kind"):
    """The job was not started before its ``expires_at``."""


class Skipped(_Verdict, frozen=True, omit_defaults=True, tag="SKIPPED", tag_field="kind"):
    """A parent ended without success."""

    reason: str


class Refused(_Verdict, frozen=True, omit_defaults=True, tag="REFUSED", tag_field="kind"):
    """A stage cannot carry the job any further (too large, unroutable)."""

    reason: str


class Redriven(_Verdict, frozen=True, omit_defaults=True, tag="REDRIVEN", tag_field="kind"):
    """The desk opens a job again that ended without success, as dispatch ``n``."""

    n: int
    topic: str
    partition: int
    offset: int
    by: str


Verdict = (
    Claimed
    | Released
    | Succeeded
    | Failed
    | Lost
    | Preempted
    | Decided
    | Cancel
    | Expired
    | Skipped
    | Refused
    | Redriven
)
Closure = Succeeded | Failed | Lost | Released
"""Verdicts that end a claimed dispatch."""
