"""Replays recorded episodes under any number of arms, in one pass through everything that ended."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import NamedTuple

import numpy as np

from adapters.recordings.jobs import RecordedJobs
from benchmarks.retry.recorded import NOT_SEEN, Episode, episodes_of, subject_of
from core.learning.events import Status
from core.retry import draw_for
from core.retrying.bins import HORIZON_S
from core.retrying.choice import Act, Arm, Moment
from core.retrying.features import Failure, features
from core.retrying.history import History, Seen
from core.retrying.plan import Costs
from core.retrying.standing import Standings, Tried

COSTS = Costs(wasted_try=300.0, delay_per_s=1.0, abandoned=21_600.0)
"""In seconds: a wasted try costs five minutes, and giving up what recovers within a day six hours."""
TRIES_MAX = 20
ArmOf = Callable[[Episode], Arm]


class Walked(NamedTuple):
    """What became of one episode under one arm."""

    episode: Episode
    tries: int
    recovered: bool
    """A try worked within the horizon."""
    recoverable: bool
    delay_s: float
    """Between recovery and the try that worked; NaN where none did."""

    @property
    def cost_s(self) -> float:
        """See ``COSTS``."""
        wasted = self.tries - self.recovered
        lost = COSTS.abandoned if self.recoverable and not self.recovered else 0.0
        late = COSTS.delay_per_s * self.delay_s if self.recovered else 0.0
        return COSTS.wasted_try * wasted + lost + late


@dataclass(slots=True)
class _Walk:
    name: str
    arm: Arm
    episode: Episode
    age_s: float = 0.0
    tries: int = 0


@dataclass
class Pass:
    """One pass: what ended so far, and who waits for which time.

    Attributes
    ----------
    arms
        By name, made for each episode.
    histories
        Told of every episode once it is over.
    walked_from_ms, walked_until_ms
        Episodes that began in between are walked.
    """

    jobs: RecordedJobs
    arms: dict[str, ArmOf]
    histories: Sequence[History]
    walked_from_ms: int
    walked_until_ms: int
    found: dict[str, list[Walked]] = field(default_factory=dict)
    standings: Standings = field(default_factory=Standings)
    _due: list[tuple[int, int, "_Walk | Episode"]] = field(default_factory=list)
    _pushed: int = 0

    def run(self) -> dict[str, list[Walked]]:
        """Go through everything; give what became of each episode by the arm's name."""
        self.found = {name: [] for name in self.arms}
        begins = {episode.job: episode for episode in episodes_of(self.jobs)}
        ended = np.flatnonzero(self.jobs.has_ended & np.isin(self.jobs.status, [Status.OK, Status.FAILED]))
        open_until: dict[tuple[str, str], int] = {}
        for job in ended[np.argsort(self.jobs.ended_ms[ended], kind="stable")].tolist():
            at_ms = int(self.jobs.ended_ms[job])
            self._until(at_ms)
            subject = subject_of(self.jobs, job)
            episode = begins.get(job)
            if episode is not None:
                open_until[subject.tenant, subject.type] = (
                    1 << 62 if episode.closed_ms == NOT_SEEN else episode.closed_ms
                )
                self._begin(episode)
            is_retry = open_until.get((subject.tenant, subject.type), NOT_SEEN) > at_ms and episode is None
            worked = int(self.jobs.status[job]) == Status.OK
            self.standings.add(subject, Tried(at_ms / 1000, worked, is_retry))
        self._until(1 << 62)
        return self.found

    def _begin(self, episode: Episode) -> None:
        over_ms = episode.began_ms + round(HORIZON_S * 1000)
        if episode.closed_ms != NOT_SEEN and episode.recovered_s <= HORIZON_S:
            over_ms = episode.closed_ms
        self._push(over_ms, episode)
        if self.walked_from_ms <= episode.began_ms < self.walked_until_ms:
            for name, arm_of in self.arms.items():
                self._decide(_Walk(name, arm_of(episode), episode))

    def _push(self, at_ms: int, what: "_Walk | Episode") -> None:
        self._pushed += 1
        heapq.heappush(self._due, (at_ms, self._pushed, what))

    def _until(self, at_ms: int) -> None:
        # What is over at a time is known after it.
        while self._due and self._due[0][0] < at_ms:
            what = heapq.heappop(self._due)[2]
            if isinstance(what, _Walk):
                self._try(what)
                continue
            recovers = what.recovered_s <= HORIZON_S
            seen = (
                Seen(what.recovered_s * (1 - 1e-6), what.recovered_s) if recovers else Seen(HORIZON_S, None)
            )
            for history in self.histories:
                history.add(what.subject, seen)

    def _try(self, walk: _Walk) -> None:
        if walk.age_s >= walk.episode.recovered_s:
            self._end(walk, recovered=True)
        else:
            self._decide(walk)

    def _decide(self, walk: _Walk) -> None:
        """Ask what is next after a try that failed."""
        episode = walk.episode
        now_s = episode.began_ms / 1000 + walk.age_s
        failures = walk.tries + 1
        run_s = float(self.jobs.run_ms[episode.job]) / 1000
        facts = Failure(
            failures,
            failures,
            walk.age_s,
            now_s,
            run_s,
            run_s if walk.tries else nan,
            run_s,
            int(self.jobs.priority[episode.job]),
            int(self.jobs.payload_bytes[episode.job]),
        )
        moment = Moment(
            walk.age_s,
            failures,
            TRIES_MAX - walk.tries,
            HORIZON_S - walk.age_s,
            now_s,
            episode.subject,
            features(facts, self.standings.of(episode.subject)),
        )
        choice = walk.arm.choose(moment, draw_for(f"{walk.name}/{episode.job}", failures))
        if choice.act is not Act.TRY or walk.age_s + choice.delay_s > HORIZON_S:
            self._end(walk, recovered=False)
            return
        walk.age_s += choice.delay_s
        walk.tries += 1
        self._push(round(episode.began_ms + walk.age_s * 1000), walk)

    def _end(self, walk: _Walk, *, recovered: bool) -> None:
        late_s = walk.age_s - walk.episode.recovered_s if recovered else nan
        recoverable = walk.episode.recovered_s <= HORIZON_S
        self.found[walk.name].append(Walked(walk.episode, walk.tries, recovered, recoverable, late_s))
