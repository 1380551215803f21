"""Redriving dead jobs with care: who is left out, how many may be out at once, and when to stop. Pure.

What is redriven first is a probe: a few jobs, whose ends say whether the cause is gone. Every one that
succeeds lets two more out, so a cause that is gone is redriven faster and faster, and one that is not costs a
handful of attempts.
"""

from collections import deque
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

PORTION = 500
"""Most jobs redriven before the log and the table are looked at again: one produce request of some 200 kB."""
REDRIVES_MAX = 3
"""A job that was redriven so often and died again is left out: one more try hardly ever differs."""


class End(StrEnum):
    """What became of a redriven job."""

    SUCCEEDED = "succeeded"
    RETURNED = "returned"
    """An attempt failed as the one before the redrive did."""
    OTHERWISE = "otherwise"
    """An attempt failed in another way, or the job was cancelled."""


class Rules(NamedTuple):
    """When a redrive stops itself."""

    stop_above: float = 0.5
    """Share of the newest ends that are returns of the failure; above it the redrive stops."""
    min_ended: int = 10
    """Ends before that share means anything; as many as are looked at, at least."""
    window: int = 50
    """Newest ends that are looked at, so that a failure that returns late is not lost in early successes."""
    probe: int = 20
    """Jobs that may be out before any has ended."""


class Go(NamedTuple):
    """Redrive up to so many more."""

    most: int


class Wait(NamedTuple):
    """As many are out as may be; none more until some have ended."""


class Stop(NamedTuple):
    """The failure has returned."""

    returned: int
    looked_at: int


class Watch:
    """What is known of the jobs of one redrive."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._newest: deque[End] = deque(maxlen=max(rules.window, rules.min_ended))
        self.sent = 0
        self.ends = dict.fromkeys(End, 0)

    @property
    def out(self) -> int:
        """Jobs that were redriven and have not ended, as far as is known."""
        return self.sent - sum(self.ends.values())

    def redrove(self, count: int) -> None:
        """Note that so many more are out."""
        self.sent += count

    def ended(self, ends: Iterable[End]) -> None:
        """Note how some ended, in the order they did."""
        for end in ends:
            self.ends[end] += 1
            self._newest.append(end)

    def stop(self) -> Stop | None:
        """Say whether the failure has returned."""
        looked_at = len(self._newest)
        returned = sum(end is End.RETURNED for end in self._newest)
        if looked_at >= self._rules.min_ended and returned > self._rules.stop_above * looked_at:
            return Stop(returned, looked_at)
        return None

    def step(self) -> Go | Wait | Stop:
        """Say what to do next."""
        stop = self.stop()
        if stop is not None:
            return stop
        room = self._rules.probe + 2 * self.ends[End.SUCCEEDED] - self.out
        return Go(min(room, PORTION)) if room > 0 else Wait()


class Candidate(NamedTuple):
    """A dead letter that meets the filter of a redrive."""

    job_id: str
    n: int
    """Dispatch after which the job was given up."""
    redrives: int
    """How often the job was redriven and died again."""
    dropped: bool
    """Whether somebody settled this letter."""


class Chosen(NamedTuple):
    """Whom a redrive is about, and whom it leaves out."""

    taken: list[Candidate]
    looping: list[Candidate]
    dropped: list[Candidate]


def choose(
    candidates: Iterable[Candidate], *, redrives_max: int | None = REDRIVES_MAX, with_dropped: bool = False
) -> Chosen:
    """Leave out what was settled, and what was redriven so often already (None: nothing is for that)."""
    chosen = Chosen([], [], [])
    for one in candidates:
        if one.dropped and not with_dropped:
            chosen.dropped.append(one)
        elif redrives_max is not None and one.redrives >= redrives_max:
            chosen.looping.append(one)
        else:
            chosen.taken.append(one)
    return chosen


class Fixability(NamedTuple):
    """How likely a dead job of a kind succeeds when it is redriven, as far as others tell."""

    share: float | None
    """None: too little is known."""
    basis: str


FIXABLE_MIN = 5
"""Jobs before a share is given: below it one more would move it by a fifth and more."""


def fixability(redriven: tuple[int, int], retried: tuple[int, int]) -> Fixability:
    """Predict from jobs with the same signature: of redriven ones if there are enough, else of retried ones.

    Parameters
    ----------
    redriven, retried
        Jobs that succeeded later, and jobs that ended, each of those that were tried again: after they
        had died, or by a retry.
    """
    for (succeeded, ended), how in ((redriven, "redriven"), (retried, "retried")):
        if ended >= FIXABLE_MIN:
            return Fixability(succeeded / ended, f"{succeeded} of {ended} {how} jobs succeeded later")
    return Fixability(None, f"only {redriven[1]} redriven and {retried[1]} retried jobs have ended")
