"""From logged decisions to moments: what was known at each, and what was seen after it.

Histories are folded in the order in which episodes ended, so each moment stands beside what history said
then. Its own episode ends later, and so is never in it.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from adapters.learned.retry_logged import Decided
from adapters.learned.retry_training import Failures
from core.retrying.ahead import merged
from core.retrying.bins import HORIZON_S, TICK_S, Floats
from core.retrying.choice import Moment
from core.retrying.history import History, Seen
from core.retrying.verdict import says_something

NEVER_MS = 2**62


@dataclass(frozen=True)
class Moments:
    """Decisions that a model could be asked about, in order of time, and what history said of each.

    Attributes
    ----------
    decided
        All have a vector, and another try was to come.
    by_history
        (n_moments, n_bins): of what had ended strictly before.
    history
        Of everything that has ended.
    by_job
        All decisions, those without a vector too, in order.
    """

    decided: Sequence[Decided]
    by_history: Floats
    history: History
    by_job: Mapping[str, Sequence[Decided]]

    def __len__(self) -> int:
        return len(self.decided)

    def seen(self, place: int, cut_ms: int = NEVER_MS) -> Seen:
        """Give what was known at a cut of what came after a moment."""
        one = self.decided[place]
        return seen_of(self.by_job[one.job], one, cut_ms)

    def moment(self, place: int) -> Moment:
        """Give a moment as a model is asked about it."""
        one = self.decided[place]
        return Moment(one.age_s, 1, 1, now_s=one.at_ms / 1000, subject=one.subject, features=one.vector)


def moments_of(decided: Sequence[Decided]) -> Moments:
    """Fold a history over all episodes, and note what it said at each moment.

    Parameters
    ----------
    decided
        In order of decision.
    """
    by_job: dict[str, list[Decided]] = {}
    for one in decided:
        by_job.setdefault(one.job, []).append(one)
    ends = [(ended_ms, job) for job, of in by_job.items() if (ended_ms := of[-1].ended_ms) is not None]
    heapq.heapify(ends)
    history = History()
    asked: list[Decided] = []
    by_history: list[Floats] = []
    for one in decided:
        if not one.is_retry or one.vector is None:
            continue
        while ends and ends[0][0] < one.at_ms:
            _add(history, by_job[heapq.heappop(ends)[1]])
        asked.append(one)
        by_history.append(history.of(one.subject))
    while ends:
        _add(history, by_job[heapq.heappop(ends)[1]])
    return Moments(asked, np.array(by_history), history, by_job)


def _add(history: History, of: Sequence[Decided]) -> None:
    # The last decision knows best what failed: signatures are learned on the way.
    history.add(of[-1].subject, seen_of(of, of[0]))


def seen_of(of: Sequence[Decided], since: Decided, cut_ms: int = NEVER_MS) -> Seen:
    """Give what was known at a cut about a job since one of its decisions.

    Ages count from where that decision had them: another handler may remember another first failure.

    Parameters
    ----------
    of
        All decisions about the job, in order.
    """

    def age_s(at_ms: int) -> float:
        return since.age_s + max(0, at_ms - since.at_ms) / 1000

    failing_s = max(age_s(one.at_ms) for one in of if one.at_ms < max(cut_ms, since.at_ms + 1))
    since_s, failing_s = min(since.age_s, HORIZON_S), min(failing_s, HORIZON_S)
    if since.recovered and since.ended_ms is not None and since.ended_ms < cut_ms:
        # Ends and decisions are told by different clocks; a recovery takes some time.
        working_s = max(age_s(since.ended_ms), failing_s + TICK_S)
        if working_s <= HORIZON_S:
            return Seen(failing_s, working_s, since_s)
        # Still on at the horizon, and nothing is planned beyond.
        return Seen(HORIZON_S, None, since_s)
    return Seen(failing_s, None, since_s)


def known_at(moments: Moments, cut_ms: int) -> Failures:
    """Give what a trainer knew at a cut: what ended later was still on."""
    known: list[tuple[int, Seen]] = []
    for place, one in enumerate(moments.decided):
        if one.at_ms >= cut_ms:
            break
        seen = moments.seen(place, cut_ms)
        if says_something(seen):
            known.append((place, seen))
    places = [place for place, _ in known]
    decided = [moments.decided[place] for place in places]
    return Failures(
        vectors=np.array([one.vector for one in decided], np.float32),
        age_s=np.array([one.age_s for one in decided]),
        now_s=np.array([one.at_ms / 1000 for one in decided]),
        by_history=np.array([merged(moments.by_history[place]) for place in places]),
        seen=[seen for _, seen in known],
    )
