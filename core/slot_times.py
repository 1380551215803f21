"""How long a slot is busy with a job, learned from the last jobs beside what was predicted of them.

A slot is busy from the claim to the end, so what a dispatch costs besides its run counts too.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

PRIOR_JOBS = 3.0
"""The jobs of a kind outweigh those of wider kinds after so many."""
STRETCH_S = 60.0
"""How far back slots are watched for being free between jobs: it depends on how busy their machine is now."""
WAITED_S = 0.25
"""A job that waited for longer found no slot free."""
LEAST_IDLE_S = 0.02
"""What a claim takes to be read back, on a machine with time for it."""
LEAST_S = 1e-3
"""Shortest prediction that is told from none, seconds; the score knows no shorter one either."""
DRIFT_SHARE = 0.15
"""Least error of a mean, as a share of it: however many jobs it is of, the next minutes are others."""


class Past(NamedTuple):
    """A job that was taken lately."""

    type: str
    bucket: int
    predicted_s: float
    slot_s: float
    """From its claim to its end, or until now."""
    has_ended: bool = True


class Hold(NamedTuple):
    """One job on one executor; seconds of one clock."""

    executor: str
    claimed_s: float
    ended_s: float | None
    """None: it runs."""
    waited_s: float
    """From being ready to its claim."""


class SlotTime(NamedTuple):
    """What a job of a kind is expected to keep a slot busy for, seconds."""

    mean_s: float
    sd_s: float
    """From job to job."""
    error_s: float
    """Of the mean, the same for all jobs of the kind."""
    jobs: int
    """How many ended ones of its type and bucket say so; 0: it is the prediction, and nothing supports it."""


@dataclass(slots=True)
class _Sums:
    jobs: int = 0
    predicted_s: float = 0.0
    slot_s: float = 0.0
    ratio: float = 1.0
    squares: float = 0.0
    """Of what was wrong with ``ratio`` times the prediction."""


_ALL = ("", -1)


class SlotTimes:
    """Ratios of slot time to prediction: by type and bucket, shrunk to the type's, and to that of all.

    The time of those that still run counts, they themselves do not: of what was taken together the short
    ones end first, and by these alone all would seem short.
    """

    def __init__(self, past: Iterable[Past]) -> None:
        self._kinds: dict[tuple[str, int], _Sums] = {}
        taken = [job._replace(predicted_s=max(LEAST_S, job.predicted_s)) for job in past]
        ended = [job for job in taken if job.has_ended]
        for job in ended:
            for kind in _kinds_of(job.type, job.bucket):
                sums = self._kinds.setdefault(kind, _Sums())
                sums.jobs += 1
                sums.predicted_s += job.predicted_s
                sums.slot_s += job.slot_s
        for job in taken:
            for kind in _kinds_of(job.type, job.bucket):
                if not job.has_ended and kind in self._kinds:
                    self._kinds[kind].slot_s += job.slot_s
        # Wider kinds first: the narrow ones lean on them.
        for kind, sums in sorted(self._kinds.items(), key=lambda item: _width(item[0]), reverse=True):
            sums.ratio = self._shrunk(kind, sums)
        for job in ended:
            for kind in _kinds_of(job.type, job.bucket):
                sums = self._kinds[kind]
                sums.squares += (job.slot_s - sums.ratio * job.predicted_s) ** 2

    def _shrunk(self, kind: tuple[str, int], sums: _Sums) -> float:
        wider = [one for one in _kinds_of(*kind) if _width(one) > _width(kind) and one in self._kinds]
        fallback = self._kinds[wider[0]].ratio if wider else 1.0
        prior_s = PRIOR_JOBS * sums.predicted_s / sums.jobs
        return (sums.slot_s + prior_s * fallback) / (sums.predicted_s + prior_s)

    def expected(self, type_: str, bucket: int, predicted_s: float) -> SlotTime:
        """Give what a job is expected to take by its prediction and how such predictions turned out.

        Nothing known of its kind: its error is as large as itself, and so is its spread.
        """
        known = next((kind for kind in _kinds_of(type_, bucket) if kind in self._kinds), None)
        sums = self._kinds[known] if known is not None else _Sums()
        mean_s = max(LEAST_S, predicted_s) * sums.ratio
        sd_s = math.sqrt((sums.squares + mean_s * mean_s) / (sums.jobs + 1))
        error_s = max(sd_s / math.sqrt(sums.jobs + 1), DRIFT_SHARE * mean_s)
        narrow = known == (type_, bucket)
        return SlotTime(mean_s, sd_s, error_s, sums.jobs if narrow else 0)


def _kinds_of(type_: str, bucket: int) -> tuple[tuple[str, int], ...]:
    return (type_, bucket), (type_, -1), _ALL


def _width(kind: tuple[str, int]) -> int:
    return 2 if kind == _ALL else int(kind[1] == -1)


def idle_between_s(holds: Iterable[Hold], slots: Mapping[str, int], now_s: float) -> float:
    """Give how long a slot stays free from one job to the next while jobs wait, seconds a job.

    Looked at is what executors held in the last stretch in which every job they took had waited: there no
    slot was free for want of jobs.

    Parameters
    ----------
    slots
        Of the executors that take jobs now, by boot id.
    """
    held: dict[str, list[Hold]] = {}
    for hold in holds:
        if hold.executor in slots:
            held.setdefault(hold.executor, []).append(hold)
    idle_s, jobs = PRIOR_JOBS * LEAST_IDLE_S, PRIOR_JOBS
    for executor, mine in held.items():
        mine.sort(key=lambda hold: hold.claimed_s, reverse=True)
        late = (one for one in mine if one.claimed_s > now_s - STRETCH_S)
        stretch = list(takewhile(lambda hold: hold.waited_s >= WAITED_S, late))
        # The first ones found slots free for other reasons.
        counted = len(stretch) - slots[executor]
        if counted > 0:
            began_s = stretch[-1].claimed_s
            used_s = sum(_within(hold, began_s, now_s) for hold in mine)
            idle_s += max(0.0, slots[executor] * (now_s - began_s) - used_s)
            jobs += counted
    return idle_s / jobs


def _within(hold: Hold, began_s: float, now_s: float) -> float:
    ended_s = now_s if hold.ended_s is None else min(now_s, hold.ended_s)
    return max(0.0, ended_s - max(began_s, hold.claimed_s))
