"""Features: the one place where each is named, given a unit, an order, a default, and computed.

A decision at ``t`` sees closed seconds only (``core/learning/seconds.py``), strictly before ``t``. The
vector that was scored is logged, and trained on as logged.
"""

import math
from array import array
from collections.abc import Sequence
from typing import NamedTuple

from core.feature import Feature, fingerprint_of, places_of
from core.learning.aggregates import DAY_S, HOUR_S, NEVER, KeyAggregates
from core.learning.events import Kind

MISSING = math.nan
"""Default of what cannot be known without history: trees have a branch of their own for it."""
UNKNOWN_LOG_RUN = math.log(1000.0 + 1.0)
"""Log run time in ms that is expected while nothing at all has ended: a second."""
PRIOR_ENDS = 3.0
"""A key's own decayed share of failures outweighs that of the wider key after so many ends."""
PRIOR_FAILED = 0.01
"""Share of failures that is expected while nothing at all has ended."""
WEEK_MS = 7 * 86_400_000
WEEK_BEGINS_MS = 4 * 86_400_000
"""The first Monday since 1970 began after so many ms."""


class JobFacts(NamedTuple):
    """What a decision knows of the job itself."""

    priority: int = 5
    payload_bytes: int = 0
    timeout_s: float = MISSING
    deadline_ms: int | None = None
    attempt: int = 1


_OF_KEY = (
    Feature("in_flight", "dispatches", 0.0),
    Feature("in_flight_age", "log s", MISSING),
    Feature("ends", "log ends", 0.0),
    Feature("submits_1h", "log dispatches", 0.0),
    Feature("ends_1h", "log ends", 0.0),
    Feature("failed_1h", "share", MISSING),
    Feature("cancelled_1h", "share", MISSING),
    Feature("ends_24h", "log ends", 0.0),
    Feature("failed_24h", "share", MISSING),
    Feature("cancelled_24h", "share", MISSING),
    Feature("failed_share", "share", MISSING),
    Feature("cancelled_share", "share", MISSING),
    Feature("run", "log ms", MISSING),
    Feature("run_slow", "log ms", MISSING),
    Feature("run_spread", "log ms", MISSING),
    Feature("run_ok", "log ms", MISSING),
    Feature("run_failed", "log ms", MISSING),
    Feature("last_run", "log ms", MISSING),
    Feature("previous_run", "log ms", MISSING),
    Feature("last_status", "status", MISSING),
    Feature("streak", "ends", 0.0),
    Feature("since_submit", "log s", MISSING),
    Feature("since_end", "log s", MISSING),
    Feature("since_failed", "log s", MISSING),
    Feature("since_ok", "log s", MISSING),
    Feature("gap", "log ms", MISSING),
    Feature("age", "log s", MISSING),
)
"""What is computed of every key, in the order in which ``_of_key`` gives it."""

_OF_JOB = (
    Feature("priority", "level", 5.0),
    Feature("payload", "log bytes", 0.0),
    Feature("payload_to_type", "log ratio", MISSING),
    Feature("timeout", "log s", MISSING),
    Feature("deadline_slack", "s", MISSING),
    Feature("attempt", "attempts", 1.0),
)
"""What is a job's own, in the order in which ``with_job`` gives it."""

_OF_ALL = (
    Feature("hour", "h of the day, UTC", MISSING),
    Feature("weekday", "day, Monday 0", MISSING),
    Feature("expected_run", "log ms", UNKNOWN_LOG_RUN),
    Feature("expected_failed", "share", PRIOR_FAILED),
    Feature("ever_failed", "share", PRIOR_FAILED),
)
"""What is computed of the time, or of several keys, in the order in which ``of_subject`` gives it."""

FEATURES: tuple[Feature, ...] = (
    *(feature._replace(name=f"{kind.name.lower()}.{feature.name}") for kind in Kind for feature in _OF_KEY),
    *_OF_JOB,
    *_OF_ALL,
)
"""Every column, in order."""
FINGERPRINT = fingerprint_of(FEATURES)
"""Names the columns and their order: vectors that were logged under another one mean something else."""
COLUMN = places_of(FEATURES)
"""Place of a feature by its name."""
_JOB_ENDS = len(FEATURES) - len(_OF_ALL)
_JOB_BEGINS = _JOB_ENDS - len(_OF_JOB)
_ABSENT = tuple(feature.default for feature in _OF_KEY)

States = Sequence[KeyAggregates | None]
"""States of a job's keys in the order of ``Kind``; None, or nothing at the end, for what has no history."""


def features(states: States, job: JobFacts, t_ms: int) -> "array[float]":
    """Compute the vector of one decision.

    Parameters
    ----------
    states
        Each as of the newest second of its key that was closed before ``t_ms``.
    job
        The job decided about.
    t_ms
        Time of the decision, ms since 1970 (broker time).

    Returns
    -------
    array
        (n_features,) float32, column order = ``FEATURES``.
    """
    return with_job(of_subject(states, t_ms), states, job, t_ms)


def of_subject(states: States, t_ms: int) -> "array[float]":
    """Compute what all jobs of a subject have in common at ``t_ms``; what is a job's own has its default."""
    vector: array[float] = array("f")
    for state in states:
        vector.extend(_ABSENT if state is None else _of_key(state, t_ms))
    for _ in range(len(Kind) - len(states)):
        vector.extend(_ABSENT)
    minute = t_ms // 60_000
    vector.extend(feature.default for feature in _OF_JOB)
    vector.extend(
        (
            minute % 1440 / 60,
            float((t_ms - WEEK_BEGINS_MS) % WEEK_MS // 86_400_000),
            expected_log_run(states),
            expected_failed(states, t_ms),
            ever_failed(states),
        )
    )
    return vector


def with_job(subject: "array[float]", states: States, job: JobFacts, t_ms: int) -> "array[float]":
    """Give the vector of a job whose subject's is ``subject``, which stays as it is."""
    type_state = states[Kind.TYPE]
    log_payload = math.log(job.payload_bytes + 1.0)
    vector = subject[:]
    vector[_JOB_BEGINS:_JOB_ENDS] = array(
        "f",
        (
            float(job.priority),
            log_payload,
            MISSING if type_state is None else log_payload - type_state.log_payload,
            math.log(job.timeout_s + 1),
            MISSING if job.deadline_ms is None else (job.deadline_ms - t_ms) / 1000,
            float(job.attempt),
        ),
    )
    return vector


def _of_key(state: KeyAggregates, t_ms: int) -> tuple[float, ...]:
    log = math.log
    elapsed_s = t_ms // 1000 - state.at_s
    by_hour, by_day = 2.0 ** (-elapsed_s / HOUR_S), 2.0 ** (-elapsed_s / DAY_S)
    ends_1h = state.ok_1h + state.failed_1h + state.cancelled_1h
    ends_24h = state.ok_24h + state.failed_24h + state.cancelled_24h
    ended = state.ok + state.failed + state.cancelled + state.lost
    in_flight = state.submitted - ended
    age_s = (
        log(max(0.0, t_ms - state.in_flight_ready_ms / in_flight) / 1000 + 1) if in_flight > 0 else MISSING
    )
    begun = (
        float(max(0, in_flight)),
        age_s,
        log(ended + 1.0),
        log(state.submitted_1h * by_hour + 1),
        log(ends_1h * by_hour + 1),
    )
    seen = (
        _since(t_ms, state.last_submit_ms),
        _since(t_ms, state.last_end_ms),
        _since(t_ms, state.last_failed_ms),
        _since(t_ms, state.last_ok_ms),
        state.log_gap,
        _since(t_ms, state.first_submit_ms),
    )
    if state.last_status == NEVER:
        return (*begun, *_ABSENT[len(begun) : -len(seen)], *seen)
    return (
        *begun,
        state.failed_1h / ends_1h if ends_1h else MISSING,
        state.cancelled_1h / ends_1h if ends_1h else MISSING,
        log(ends_24h * by_day + 1),
        state.failed_24h / ends_24h if ends_24h else MISSING,
        state.cancelled_24h / ends_24h if ends_24h else MISSING,
        state.failed_share,
        state.cancelled_share,
        state.log_run,
        state.log_run_slow,
        state.log_run_spread,
        state.log_run_ok,
        state.log_run_failed,
        log(state.last_run_ms + 1.0),
        log(state.previous_run_ms + 1.0) if state.previous_run_ms >= 0 else MISSING,
        float(state.last_status),
        float(state.streak),
        *seen,
    )


def _since(t_ms: int, at_ms: int) -> float:
    if at_ms == NEVER:
        return MISSING
    since_ms = t_ms - at_ms
    return math.log(since_ms / 1000 + 1) if since_ms > 0 else 0.0


_NARROW_FIRST = (Kind.TENANT_TYPE, Kind.TYPE, Kind.TENANT, Kind.EVERYTHING)


def expected_log_run(states: States) -> float:
    """Give the EWMA of log run time, in ms, of the narrowest key of which anything ended.

    Names are left out: most are seen once, and the mean of a name that was seen once is that run.
    """
    for kind in _NARROW_FIRST:
        state = states[kind]
        if state is not None and state.last_status != NEVER:
            return state.log_run
    return UNKNOWN_LOG_RUN


def expected_failed(states: States, t_ms: int) -> float:
    """Give the decayed share of failures, from everything to the narrowest key, each shrunk to the wider."""
    share = PRIOR_FAILED
    second = t_ms // 1000
    for kind in reversed(_NARROW_FIRST):
        state = states[kind]
        if state is not None and state.last_status != NEVER:
            by_day = 2.0 ** ((state.at_s - second) / DAY_S)
            ends = (state.ok_24h + state.failed_24h + state.cancelled_24h) * by_day
            share = (state.failed_24h * by_day + PRIOR_ENDS * share) / (ends + PRIOR_ENDS)
    return share


def ever_failed(states: States) -> float:
    """Give ``expected_failed`` over all ends ever, however long ago: what is rare needs a long memory."""
    share = PRIOR_FAILED
    for kind in reversed(_NARROW_FIRST):
        state = states[kind]
        if state is not None:
            share = (state.failed + PRIOR_ENDS * share) / (state.ended + PRIOR_ENDS)
    return share
