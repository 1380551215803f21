"""Moments to train a hazard on: every episode, looked at when it is as old as some ages."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from adapters.learned.retry_training import Failures
from adapters.recordings.jobs import RecordedJobs
from benchmarks.retry.recorded import NOT_SEEN, Episode
from benchmarks.retry.walks import Pass
from core.retrying.ahead import STRETCH_EDGES_S, first_ahead, merged
from core.retrying.arms import STOPPED
from core.retrying.bins import HORIZON_S, Floats
from core.retrying.choice import Act, Choice, Moment, snapped
from core.retrying.history import History, Seen

AGES_S: tuple[float, ...] = tuple(
    float(STRETCH_EDGES_S[first_ahead(age_s)]) for age_s in (45.0, 240.0, 1200.0, 5400.0, 18_000.0, 43_200.0)
)
"""Where failures are looked at, beside the first: an arm asks at any age, and the trees see these."""


@dataclass
class Looks:
    """What was seen, in order of time."""

    history: History
    episodes: list[Episode] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    by_history: list[Floats] = field(default_factory=list)


@dataclass(frozen=True)
class Looker:
    """An arm that tries at fixed ages and remembers what it was asked."""

    looks: Looks
    episode: Episode
    name: str = "looks"

    def choose(self, moment: Moment, draw: float) -> Choice:
        """See ``core.retrying.choice.Arm``."""
        del draw
        self.looks.episodes.append(self.episode)
        self.looks.moments.append(moment)
        self.looks.by_history.append(merged(self.looks.history.hazards(moment)))
        later = next((age_s for age_s in AGES_S if age_s > moment.age_s + 1.0), None)
        return STOPPED if later is None else Choice(Act.TRY, snapped(later - moment.age_s))


def looks_of(jobs: RecordedJobs, history: History, until_ms: int) -> Looks:
    """Look at all episodes that began before a time."""
    looks = Looks(history)
    Pass(jobs, {"looks": lambda episode: Looker(looks, episode)}, [history], 0, until_ms).run()
    return looks


def known_at(looks: Looks, cut_ms: int) -> Failures:
    """Give what a trainer knew of them at a cut: what closed later is still on."""
    places: Sequence[int] = [
        place for place, moment in enumerate(looks.moments) if moment.now_s * 1000 < cut_ms
    ]
    episodes = [looks.episodes[place] for place in places]
    moments = [looks.moments[place] for place in places]
    return Failures(
        vectors=np.array([moment.features for moment in moments], np.float32),
        age_s=np.array([moment.age_s for moment in moments]),
        now_s=np.array([moment.now_s for moment in moments]),
        by_history=np.array([looks.by_history[place] for place in places]),
        seen=[
            _seen(episode, moment.age_s, cut_ms) for episode, moment in zip(episodes, moments, strict=True)
        ],
    )


def _seen(episode: Episode, since_s: float, cut_ms: int) -> Seen:
    if NOT_SEEN < episode.closed_ms < cut_ms and episode.recovered_s <= HORIZON_S:
        return Seen(max(since_s, episode.recovered_s * (1 - 1e-6)), episode.recovered_s, since_s)
    return Seen(min((cut_ms - episode.began_ms) / 1000, HORIZON_S), None, since_s)
