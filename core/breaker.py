"""The circuit breaker: when jobs that lean on something that is down stop calling it, and how they come back.

Nygard's breaker ("Release It!", 2007) for a queue: nothing is refused while a circuit is open, it waits. An
open circuit is a rate limit of so few claims that each is a probe; one that recovers is a rate that grows as
a TCP sender's window does (Jacobson, "Congestion avoidance and control", 1988): by doubling up to what was
usual before, and by equal steps beyond, so that a backlog does not bring down again what has just come up
("Metastable failures in the wild", OSDI'22).
"""

from enum import StrEnum
from typing import NamedTuple

from core.circuit_evidence import Evidence, Tally

PROBE_MS = 5_000
"""Time between the first two probes of an open circuit. Doubles with each probe that fails..."""
PROBE_MAX_MS = 60_000
"""...up to this: a recovery is seen within a minute, and ten minutes of outage cost 14 probes."""
IN_FLIGHT_MS = 3_000
"""What ends so soon after a circuit was opened began before, and is no probe."""
STEP_MS = 3_000
"""Least time at one rate while a circuit recovers: two reports of executors, and the way there and back."""
START_PER_S = 1.0
"""Rate at which a circuit begins to recover."""
USUAL_FACTOR = 2.0
"""Up to so many times the usual rate it doubles: the load goes on while the backlog is worked off."""
USUAL_MIN_PER_S = 2.0
"""Below this no rate counts as usual."""
GROWTH = 2.0
BEYOND = 0.02
"""Beyond, each step adds this share of it."""
GOOD_SHARE_MAX_BAD = 0.2
"""With a larger share of bad ends the rate does not grow..."""
FAIL_SHARE = 0.5
FAIL_MIN = 2
"""...and with this share, of at least so many bad ends, the circuit is open again."""
CALM_STEPS = 2
"""Steps in a row in which less was wanted than allowed, until the limit is taken away."""
CALM_SHARE = 0.9
IDLE_MS = 30_000
"""A recovering circuit of which nothing is wanted is closed after so long..."""
IDLE_OPEN_MS = 600_000
"""...and an open one after so long: who comes next is a probe in any case."""
RELAPSE_MS = 600_000
"""A circuit opened again within this time after it closed is the same trouble: its probes begin rarer."""
TRIPS_MAX = 5
SETTLE_MS = 3_000
"""A circuit that was closed stays so for this time at least."""
BY_HAND_MS = 60_000
"""One that a person has closed stays so for this time."""
RATE_MAX_PER_S = 10_000.0
"""A limit above this limits nobody."""


class Mode(StrEnum):
    """Whether circuits are opened at all."""

    OFF = "off"
    ON = "on"


class State(StrEnum):
    """Of a circuit; the values stand in records."""

    CLOSED = "closed"
    """Everything flows."""
    OPEN = "open"
    """Probes alone are let through."""
    RECOVERING = "recovering"
    """A rate that grows is let through."""


class Circuit(NamedTuple):
    """One circuit as it stands; times are broker time, ms."""

    state: State = State.CLOSED
    since_ms: int = 0
    """When it came into this state."""
    changed_ms: int = 0
    """When it last came to this rate."""
    rate_per_s: float = 0.0
    """Claims a second that are let through; without meaning while closed."""
    usual_per_s: float = USUAL_MIN_PER_S
    """What doubles up to: see ``USUAL_FACTOR``."""
    trips: int = 0
    """How often it was opened by the same trouble."""
    calm: int = 0
    reason: str = ""
    rests_until_ms: int = 0
    """Before this it is not opened again."""


CLOSED = Circuit()


def probe_interval_ms(trips: int) -> int:
    """Give the time between the first probes of a circuit opened so often."""
    return int(min(PROBE_MAX_MS, PROBE_MS * 2 ** (max(1, min(trips, TRIPS_MAX)) - 1)))


def step(circuit: Circuit, evidence: Evidence, wanted_per_s: float | None, now_ms: int) -> Circuit:
    """Give the circuit as it is to be from now on; the same one when nothing changes.

    Parameters
    ----------
    wanted_per_s
        Claims a second that executors could make of it; None: nobody knows.
    """
    match circuit.state:
        case State.CLOSED:
            return _closed(circuit, evidence, now_ms)
        case State.OPEN:
            return _open(circuit, evidence, wanted_per_s, now_ms)
        case State.RECOVERING:
            return _recovering(circuit, evidence, wanted_per_s, now_ms)


def opened(circuit: Circuit, usual_per_s: float, reason: str, now_ms: int) -> Circuit:
    """Open a circuit, whoever wants it."""
    is_relapse = circuit.state is not State.CLOSED or (
        circuit.trips > 0 and now_ms - circuit.since_ms < RELAPSE_MS
    )
    trips = min(TRIPS_MAX, circuit.trips + 1) if is_relapse else 1
    usual_per_s = max(USUAL_MIN_PER_S, usual_per_s)
    # What little ended well since it closed is not what is usual.
    usual_per_s = max(usual_per_s, circuit.usual_per_s) if is_relapse else usual_per_s
    rate_per_s = 1000 / probe_interval_ms(trips)
    return Circuit(State.OPEN, now_ms, now_ms, rate_per_s, usual_per_s, trips, reason=reason)


def closed(circuit: Circuit, reason: str, now_ms: int, rest_ms: int = SETTLE_MS) -> Circuit:
    """Close a circuit, whoever wants it."""
    return circuit._replace(
        state=State.CLOSED,
        since_ms=now_ms,
        changed_ms=now_ms,
        calm=0,
        reason=reason,
        rests_until_ms=now_ms + rest_ms,
    )


def still_held(circuit: Circuit, now_ms: int) -> Circuit:
    """Give what becomes of a recovering circuit that was to be closed, although jobs are held for it still.

    Executors had less to do than they may, because what is held comes in proportion to the rate, and late on
    a busy machine; without a limit all of it would come at once.
    """
    rate_per_s = grown(circuit.rate_per_s, circuit.usual_per_s)
    return circuit._replace(changed_ms=now_ms, calm=0, rate_per_s=rate_per_s)


def _closed(circuit: Circuit, evidence: Evidence, now_ms: int) -> Circuit:
    if now_ms < circuit.rests_until_ms:
        return circuit
    reason = evidence.why_down(now_ms)
    if reason is None:
        return circuit
    return opened(circuit, evidence.usual_per_s(now_ms), reason, now_ms)


def _open(circuit: Circuit, evidence: Evidence, wanted_per_s: float | None, now_ms: int) -> Circuit:
    probes = evidence.since(max(circuit.since_ms + IN_FLIGHT_MS, circuit.changed_ms))
    if probes.ok:
        return circuit._replace(
            state=State.RECOVERING,
            since_ms=now_ms,
            changed_ms=now_ms,
            rate_per_s=START_PER_S,
            reason="a probe succeeded",
        )
    interval_ms = 1000 / circuit.rate_per_s
    if probes.bad and interval_ms < PROBE_MAX_MS and now_ms - circuit.changed_ms >= interval_ms / 2:
        return circuit._replace(changed_ms=now_ms, rate_per_s=1000 / min(PROBE_MAX_MS, 2 * interval_ms))
    if wanted_per_s == 0 and now_ms - max(circuit.changed_ms, evidence.heard_ms) >= IDLE_OPEN_MS:
        return closed(circuit, "nothing waits for it", now_ms)
    return circuit


def _recovering(circuit: Circuit, evidence: Evidence, wanted_per_s: float | None, now_ms: int) -> Circuit:
    tally = evidence.since(circuit.changed_ms)
    if tally.bad >= FAIL_MIN and tally.bad_share >= FAIL_SHARE:
        reason = f"{tally.bad} of {tally.ends} calls failed while it recovered"
        return opened(circuit, circuit.usual_per_s / USUAL_FACTOR, reason, now_ms)
    if now_ms - circuit.changed_ms < STEP_MS:
        return circuit
    if not tally.ok:
        if wanted_per_s == 0 and now_ms - circuit.changed_ms >= IDLE_MS:
            return closed(circuit, "nothing waits for it any more", now_ms)
        return circuit
    return _next_step(circuit, tally, wanted_per_s, now_ms)


def _next_step(circuit: Circuit, tally: Tally, wanted_per_s: float | None, now_ms: int) -> Circuit:
    if tally.bad_share > GOOD_SHARE_MAX_BAD:
        return circuit._replace(changed_ms=now_ms, calm=0)
    is_calm = wanted_per_s is not None and wanted_per_s < CALM_SHARE * circuit.rate_per_s
    calm = circuit.calm + 1 if is_calm else 0
    if calm >= CALM_STEPS or circuit.rate_per_s >= RATE_MAX_PER_S:
        return closed(circuit, "all that waited for it is through", now_ms)
    rate_per_s = circuit.rate_per_s if is_calm else grown(circuit.rate_per_s, circuit.usual_per_s)
    return circuit._replace(changed_ms=now_ms, calm=calm, rate_per_s=rate_per_s)


def grown(rate_per_s: float, usual_per_s: float) -> float:
    """Give the rate of the next step: doubled up to what is usual and some, then more by equal steps."""
    bend = usual_per_s * USUAL_FACTOR
    if rate_per_s < bend:
        return min(bend, rate_per_s * GROWTH)
    return rate_per_s + BEYOND * bend
