"""What is remembered of a key: counts, decayed counts, and what depends on the order of ends.

Decayed counts are those of Cohen and Strauss ("Maintaining time-decaying stream aggregates", 2003):
exponential decay needs one number. They are decayed on whole seconds, and integers are added, so equal
seconds give equal states whatever came in between; averages follow the ends in their order.
"""

import math
import struct
from dataclasses import dataclass, fields

from core.learning.events import DID_NOT_RUN, Ended, Status, Submitted
from core.learning.seconds import SecondOfKey

HOUR_S = 3600.0
DAY_S = 86_400.0
"""Half-lives of the decayed counts: an outage's, and that of what a type is usually like."""
RUN_WEIGHT = 0.3
"""Weight of the newest run time: recent data beats mining history (Tsafrir et al., TPDS 2007)."""
SLOW_WEIGHT = 0.05
"""The same for the long mean."""
SHARE_WEIGHT = 0.1
"""Weight of the newest end in the shares of failed and cancelled ends."""
GAP_WEIGHT = 0.2
"""Weight of the newest gap between submissions."""
NEVER = -1
"""Stands for a time or status that is not there yet."""


@dataclass(slots=True)
class KeyAggregates:
    """State of one key after its newest second. Logarithms are natural, of 1 + the value in its unit."""

    at_s: int = NEVER
    submitted: int = 0
    ok: int = 0
    failed: int = 0
    cancelled: int = 0
    lost: int = 0
    """Lost or expired."""
    in_flight_ready_ms: int = 0
    """Sum of the ready times of dispatches that have not ended."""
    first_submit_ms: int = NEVER
    last_submit_ms: int = NEVER
    last_end_ms: int = NEVER
    last_failed_ms: int = NEVER
    last_ok_ms: int = NEVER
    last_status: int = NEVER
    streak: int = 0
    """Ends in a row with the last status."""
    last_run_ms: int = NEVER
    previous_run_ms: int = NEVER
    submitted_1h: float = 0.0
    ok_1h: float = 0.0
    failed_1h: float = 0.0
    cancelled_1h: float = 0.0
    submitted_24h: float = 0.0
    ok_24h: float = 0.0
    failed_24h: float = 0.0
    cancelled_24h: float = 0.0
    log_run: float = 0.0
    """EWMA of log run time in ms, over all ends."""
    log_run_slow: float = 0.0
    log_run_spread: float = 0.0
    """EWMA of the distance between a log run time and the mean before it."""
    log_run_ok: float = math.nan
    log_run_failed: float = math.nan
    failed_share: float = 0.0
    """EWMA over ends: 1 where one failed."""
    cancelled_share: float = 0.0
    log_gap: float = math.nan
    """EWMA of log time between submissions, ms."""
    log_payload: float = math.nan
    """EWMA of log payload, bytes."""

    @property
    def ended(self) -> int:
        """Ends of all kinds."""
        return self.ok + self.failed + self.cancelled + self.lost

    @property
    def in_flight(self) -> int:
        """Dispatches that became ready and have not ended; never below 0, whatever began before the log."""
        return max(0, self.submitted - self.ended)


_FIELDS = tuple(field.name for field in fields(KeyAggregates))
_IMAGE = struct.Struct("<" + "".join("q" if field.type is int else "d" for field in fields(KeyAggregates)))


def image(state: KeyAggregates) -> bytes:
    """Give the state as bytes, all of the same length; equal states give equal bytes."""
    return _IMAGE.pack(*(getattr(state, name) for name in _FIELDS))


def restored(data: bytes) -> KeyAggregates:
    """Make the state an image was taken of.

    Raises
    ------
    ValueError
        The bytes are no image, or one of another version: the caller begins anew.
    """
    try:
        return KeyAggregates(*_IMAGE.unpack(data))
    except struct.error as error:
        raise ValueError(f"not an image of {_IMAGE.size} bytes: {error}") from error


def advance(state: KeyAggregates, second: int, happened: SecondOfKey) -> KeyAggregates:
    """Fold one closed second; ``second`` rises from call to call. The state given is changed and returned."""
    elapsed_s = second - state.at_s
    if state.at_s != NEVER and elapsed_s > 0:
        _decay(state, elapsed_s)
    state.at_s = max(second, state.at_s)
    if happened.submits:
        _submit(state, happened.submits)
    if happened.ends:
        _end(state, happened.ends)
    return state


def _decay(state: KeyAggregates, elapsed_s: int) -> None:
    by_hour = 2.0 ** (-elapsed_s / HOUR_S)
    by_day = 2.0 ** (-elapsed_s / DAY_S)
    state.submitted_1h *= by_hour
    state.ok_1h *= by_hour
    state.failed_1h *= by_hour
    state.cancelled_1h *= by_hour
    state.submitted_24h *= by_day
    state.ok_24h *= by_day
    state.failed_24h *= by_day
    state.cancelled_24h *= by_day


def _submit(state: KeyAggregates, submits: tuple[Submitted, ...]) -> None:
    count = len(submits)
    state.submitted += count
    state.submitted_1h += count
    state.submitted_24h += count
    last_ms = state.last_submit_ms
    if last_ms == NEVER:
        state.first_submit_ms = submits[0].at_ms
    for at_ms, _, _, payload_bytes in submits:
        state.in_flight_ready_ms += at_ms
        if last_ms != NEVER:
            state.log_gap = _toward(
                state.log_gap, math.log(at_ms - last_ms + 1.0) if at_ms > last_ms else 0.0, GAP_WEIGHT
            )
        last_ms = max(at_ms, last_ms)
        if payload_bytes:
            state.log_payload = _toward(state.log_payload, math.log(payload_bytes + 1.0), SHARE_WEIGHT)
    state.last_submit_ms = last_ms


def _end(state: KeyAggregates, ends: tuple[Ended, ...]) -> None:
    ok = failed = cancelled = 0
    for end in ends:
        _follow(state, end)
        match end.status:
            case Status.OK:
                ok += 1
            case Status.FAILED:
                failed += 1
            case Status.CANCELLED:
                cancelled += 1
            case Status.LOST | Status.EXPIRED:
                state.lost += 1
    if ok:
        state.ok += ok
        state.ok_1h += ok
        state.ok_24h += ok
    if failed:
        state.failed += failed
        state.failed_1h += failed
        state.failed_24h += failed
    if cancelled:
        state.cancelled += cancelled
        state.cancelled_1h += cancelled
        state.cancelled_24h += cancelled


def _follow(state: KeyAggregates, end: Ended) -> None:
    """Take in what depends on the order of ends."""
    at_ms, _, _, run_ms, status, ready_ms = end
    state.in_flight_ready_ms -= ready_ms
    if run_ms == DID_NOT_RUN:
        return
    log_run = math.log(run_ms + 1.0)
    failed, cancelled = float(status == Status.FAILED), float(status == Status.CANCELLED)
    if state.last_status == NEVER:
        state.log_run = state.log_run_slow = log_run
        state.failed_share, state.cancelled_share = failed, cancelled
    else:
        away = log_run - state.log_run
        state.log_run_spread += RUN_WEIGHT * (abs(away) - state.log_run_spread)
        state.log_run += RUN_WEIGHT * away
        state.log_run_slow += SLOW_WEIGHT * (log_run - state.log_run_slow)
        state.failed_share += SHARE_WEIGHT * (failed - state.failed_share)
        state.cancelled_share += SHARE_WEIGHT * (cancelled - state.cancelled_share)
    if status == Status.OK:
        state.log_run_ok = _toward(state.log_run_ok, log_run, RUN_WEIGHT)
        state.last_ok_ms = max(at_ms, state.last_ok_ms)
    elif status == Status.FAILED:
        state.log_run_failed = _toward(state.log_run_failed, log_run, RUN_WEIGHT)
        state.last_failed_ms = max(at_ms, state.last_failed_ms)
    state.streak = state.streak + 1 if status == state.last_status else 1
    state.last_status = status
    state.previous_run_ms, state.last_run_ms = state.last_run_ms, run_ms
    state.last_end_ms = max(at_ms, state.last_end_ms)


def _toward(mean: float, value: float, weight: float) -> float:
    # A mean that is NaN is the first value's.
    return value if math.isnan(mean) else mean + weight * (value - mean)
