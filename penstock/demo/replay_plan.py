"""Turning recorded jobs into a plan: scaled times, and what each recorded end becomes. Pure."""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple, assert_never

from penstock.demo.plan import Ending, Plan, PlannedJob
from penstock.demo.traces import RecordedEnd, TraceJob

TARGET_S = 50.0
"""The default speed lets the last job arrive, and all slots do their work, within this."""
LONGEST_RUN_S = 15.0
"""Scaled run times are cut here: recordings hold runs of weeks beside runs of seconds, and one of
them would outlast the demo by hours."""
SLOT_USE = 0.8
"""Share of the slots the default speed plans to fill, so that bursts can drain."""
_SPEED_MAX = 1e9
_NAME_MAX = 100
_PRIORITY = {None: 5, 0: 2, 1: 4, 2: 6, 3: 8}
"""Job priority by recorded scheduling class; Google's 0 is the least sensitive to latency."""


class ReplayedEnd(NamedTuple):
    """What ``penstock.replay`` is told, and how the job must end."""

    outcome: str
    fail_attempts: int | None
    ending: Ending


def replayed_end(end: RecordedEnd) -> ReplayedEnd:
    """Say what a recorded end becomes.

    - finished, or unknown at the recording's end: runs its time and succeeds.
    - failed: runs its time and fails for good. A row is one recorded run, and that run's failure was
      final; where the cluster tried again, the new run is a row of its own.
    - killed: its user or its cluster stopped it; the work itself did nothing wrong, so it runs the
      recorded time and succeeds.
    - evicted: pushed aside for other work; the first attempt fails as transient, the next succeeds.
    """
    match end:
        case RecordedEnd.FINISHED | RecordedEnd.UNKNOWN | RecordedEnd.KILLED:
            return ReplayedEnd("ok", None, Ending.SUCCEEDED)
        case RecordedEnd.FAILED:
            return ReplayedEnd("permanent", None, Ending.DEAD)
        case RecordedEnd.EVICTED:
            return ReplayedEnd("transient", 1, Ending.SUCCEEDED)
        case _:
            assert_never(end)


def replay_plan(trace: Sequence[TraceJob], *, speed: float | None, slots: int) -> Plan:
    """Plan the replay of recorded jobs.

    Parameters
    ----------
    speed
        Recorded seconds per second; None chooses one (``choose_speed``).
    slots
        Jobs the executors can run at once; only used to choose the speed.
    """
    chosen = choose_speed(trace, slots) if speed is None else speed
    start_s = min((job.submit_s for job in trace), default=0.0)
    planned = [_planned(number, job, start_s, chosen) for number, job in enumerate(trace)]
    planned.sort(key=lambda job: job.at_s)
    cut = sum(job.run_s is None or job.run_s / chosen > LONGEST_RUN_S for job in trace)
    span_s = planned[-1].at_s if planned else 0.0
    how = "chosen" if speed is None else "given"
    notes = [f"{len(trace)} recorded jobs at speed {chosen:g} ({how}): they arrive within {span_s:.0f} s."]
    if cut:
        notes.append(f"{cut} run times were open or longer than {LONGEST_RUN_S:.0f} s and are cut to that.")
    return Plan(planned, types=tuple(sorted({job.type for job in planned})), notes=tuple(notes))


def choose_speed(trace: Sequence[TraceJob], slots: int) -> float:
    """Give the smallest speed (two digits) at which arrivals and work fit into ``TARGET_S``."""
    submits = [job.submit_s for job in trace]
    span_s = max(submits, default=0.0) - min(submits, default=0.0)
    low, high = 0.0, math.log10(_SPEED_MAX)
    for _ in range(40):
        middle = (low + high) / 2
        if _fits(trace, span_s, slots, 10**middle):
            high = middle
        else:
            low = middle
    return _rounded_up(10**high)


def _fits(trace: Sequence[TraceJob], span_s: float, slots: int, speed: float) -> bool:
    work_s = sum(_run_s(job, speed) for job in trace)
    return span_s / speed <= TARGET_S and work_s <= TARGET_S * slots * SLOT_USE


def _run_s(job: TraceJob, speed: float) -> float:
    recorded_s = LONGEST_RUN_S if job.run_s is None else job.run_s / speed
    return min(LONGEST_RUN_S, recorded_s)


def _rounded_up(speed: float) -> float:
    if speed <= 1:
        return 1.0
    digit = 10.0 ** (math.floor(math.log10(speed)) - 1)
    # A bisection ends a hair above a round number; that hair must not cost a digit.
    return max(1.0, math.ceil(round(speed / digit, 6)) * digit)


def _planned(number: int, job: TraceJob, start_s: float, speed: float) -> PlannedJob:
    replayed = replayed_end(job.end)
    return PlannedJob(
        number=number,
        at_s=(job.submit_s - start_s) / speed,
        type=contract_name(job.type),
        tenant=contract_name(f"user-{job.user}"),
        work={
            "run_s": round(_run_s(job, speed), 3),
            "outcome": replayed.outcome,
            "fail_attempts": replayed.fail_attempts,
        },
        ending=replayed.ending,
        priority=_PRIORITY.get(job.urgency, 5),
    )


def contract_name(recorded: str) -> str:
    """Make a name of the job contract: lower case letters and digits, parted by single ``. _ -``.

    A minus sign becomes ``n``, so that -5 and 5 stay two names; other foreign characters become ``-``.
    """
    signed = re.sub(r"-(?=-?\d)(?<=--)|^-(?=\d)", "-n", recorded.lower())
    parted = re.sub(r"[^a-z0-9._-]+", "-", signed)
    single = re.sub(r"[._-]*([._-])", r"\1", parted)
    return single[:_NAME_MAX].strip("._-") or "unnamed"
