"""What a dlq_handler remembers of failures it saw in the ledger: episodes, what came of arms, who wins.

Everything is bounded, and nothing is restored but by reading the ledger again: a handler that begins anew
knows what its stretch of the ledger says, and what a trained model brings: a history of recoveries, and what
arms have cost. Two handlers may know different things and decide differently about the same failure; of two
decisions the first in the log holds.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Protocol

from core.fault import FaultClass
from core.retry import ClosedDispatch, RetryPolicy
from core.retrying.ask import ask
from core.retrying.asked import Advice, Attempted, Foretold, Pending, Situation
from core.retrying.bins import Vector
from core.retrying.choice import UNKNOWN, Moment, Subject
from core.retrying.columns import FINGERPRINT, MISSING
from core.retrying.explore import (
    ARMS,
    CONTROL,
    GENERATION_ENDS,
    PLANNED,
    Shares,
    Tally,
    shares_of,
    winner_of,
)
from core.retrying.features import Failure, features
from core.retrying.history import History, Seen
from core.retrying.off_policy import ABANDONED_S, WASTED_TRY_S
from core.retrying.recovery import Recovery
from core.retrying.standing import Standings, Tried
from core.retrying.survival import success_chance

OPEN_MAX = 50_000
"""Jobs between their first failure and their end, some 300 bytes each; the one that failed longest ago
goes."""


@dataclass(slots=True)
class Episode:
    """A job from its first failure on."""

    first_ms: int
    failing_ms: int
    failures: int = 0
    subject: Subject = UNKNOWN
    vector: Vector | None = None
    """What was known when its newest failure was looked at; None: it was not."""
    pending: list[tuple[Pending, int]] = field(default_factory=list)
    """With the failures there were: what came later is what the decision led to."""


@dataclass(slots=True)
class Generation:
    """Shares of one class of failures, fixed until enough decisions have ended."""

    name: str
    shares: Shares
    number: int = 0
    ends: int = 0
    tallies: dict[str, Tally] = field(default_factory=lambda: {arm: Tally() for arm in ARMS})


class RecoveriesInForce(Protocol):
    """Which trained models are asked now."""

    @property
    def champion(self) -> Recovery | None:
        """What plans go by; None: what this memory has seen itself."""
        ...

    @property
    def shadow(self) -> Recovery | None:
        """What is asked beside it, and followed by nobody."""
        ...


class NoRecoveries(RecoveriesInForce):
    """Nothing was trained."""

    champion = shadow = None


class RetryMemory:
    """A fold of failures, decisions and successes; equal events in equal order give equal answers.

    A model brings the history it was trained with, and goes on from there; without one the history begins
    with this memory. Successes are told by the ledger alone, which names no type: those of jobs that never
    failed count for everything and for no narrower key.

    Parameters
    ----------
    explored
        Share of decisions that tries other arms; see ``core.retrying.explore``.
    models
        May change between any two calls.
    """

    def __init__(self, explored: float, models: RecoveriesInForce | None = None) -> None:
        self.history = History()
        self.standings = Standings()
        self._models = models or NoRecoveries()
        self._planned_by = self._told_by = ""
        self._told_s = 0.0
        self._explored = explored
        self._open: OrderedDict[str, Episode] = OrderedDict()
        self._generations: dict[str, Generation] = {}

    def __len__(self) -> int:
        return len(self._open)

    def failed(self, origin: str, at_ms: int) -> None:
        """Take in that a dispatch failed."""
        episode = self._open.pop(origin, None) or Episode(at_ms, at_ms)
        self._open[origin] = episode
        episode.failing_ms = at_ms
        episode.failures += 1
        if len(self._open) > OPEN_MAX:
            self._open.popitem(last=False)

    def decided(self, origin: str, pending: Pending) -> None:
        """Take in a decision to retry that holds."""
        episode = self._open.get(origin)
        if episode is not None:
            episode.pending.append((pending, episode.failures))

    def succeeded(self, origin: str, at_ms: int) -> None:
        """Take in that a dispatch succeeded: the job's episode is over."""
        episode = self._open.pop(origin, None)
        self._tried(UNKNOWN if episode is None else episode.subject, at_ms, episode, worked=True)
        if episode is not None:
            self._settle(episode, at_ms, 0.0)
            self._seen(episode, max(0.0, at_ms - episode.first_ms) / 1000)

    def given_up(self, origin: str, at_ms: int) -> None:
        """Take in that a job is dead: nobody looks any more whether it would work."""
        episode = self._open.pop(origin, None)
        if episode is not None:
            self._settle(episode, at_ms, ABANDONED_S)
            self._seen(episode, None)

    def about(self, origin: str, attempted: Attempted, now_ms: int) -> None:
        """Learn what failed; the ledger alone does not say it."""
        episode = self._open.get(origin)
        if episode is None:
            return
        episode.subject = subject = Subject(attempted.tenant, attempted.type, attempted.signature)
        failure = _failure(attempted, self.age_s(origin, now_ms), now_ms / 1000)
        episode.vector = features(failure, self.standings.of(subject))
        # Only now: what is decided about is not among what is known of its keys.
        self._tried(subject, now_ms, episode, worked=False)

    def age_s(self, origin: str, now_ms: int) -> float:
        """Give the time since the first failure of a job that is remembered, seconds; 0 of others."""
        episode = self._open.get(origin)
        return 0.0 if episode is None else max(0.0, now_ms - episode.first_ms) / 1000

    def generation(self, error_class: str, now_ms: int) -> Generation:
        """Give the shares that hold now for a class; the first generation has the rule as its winner."""
        # What stands in records is text; its classes are those of the enumeration.
        error_class = error_class if error_class in set(FaultClass) else str(FaultClass.TRANSIENT)
        found = self._generations.get(error_class)
        if found is None:
            found = Generation(f"{now_ms}", shares_of(0, CONTROL, self._explored))
            self._generations[error_class] = found
        return found

    def advise(
        self, closed: ClosedDispatch, policy: RetryPolicy, situation: Situation, dispatch: tuple[str, int]
    ) -> Advice:
        """Say how long to wait."""
        self._follow(situation.now_ms)
        episode = self._open.get(dispatch[0])
        moment = Moment(
            age_s=situation.age_s,
            failures=closed.failures,
            tries_left=situation.tries_left,
            latest_s=situation.latest_s,
            now_s=situation.now_ms / 1000,
            subject=Subject(situation.tenant, situation.type, situation.signature),
            features=None if episode is None else episode.vector,
        )
        hazards = (self._models.champion or self.history).hazards(moment)
        shared = self.generation(str(closed.fault), situation.now_ms)
        asked = ask(closed, policy, moment, shared.shares, hazards, dispatch)
        shadow = self._models.shadow

        def foretell(delay_s: float) -> Foretold:
            vector = moment.features
            return Foretold(
                "" if vector is None else FINGERPRINT,
                b"" if vector is None else vector.astype("<f4").tobytes(),
                self._planned_by,
                success_chance(hazards, moment.age_s, delay_s),
                "" if shadow is None else shadow.name,
                None if shadow is None else success_chance(shadow.hazards(moment), moment.age_s, delay_s),
            )

        return Advice(asked, shared.name, foretell)

    def _follow(self, now_ms: int) -> None:
        """Begin new generations when the plan changes, or when a model tells what arms have cost."""
        champion = self._models.champion
        name = "" if champion is None else champion.name
        if name != self._planned_by:
            self._planned_by = name
            for generation in self._generations.values():
                # What it cost before says less of it.
                generation.tallies.setdefault(PLANNED, Tally()).halve()
                self._begin(generation, generation.shares.winner, f"{now_ms}")
        # The shadow's is as good: what arms cost was measured, whatever its trees are worth.
        told = [model for model in (champion, self._models.shadow) if model is not None and model.evidence]
        newest = max(told, key=lambda model: model.name, default=None)
        # An older one knows less than what was told before.
        if newest is not None and newest.name > self._told_by:
            self._told_by = newest.name
            self._believe(newest, now_ms)

    def _believe(self, model: Recovery, now_ms: int) -> None:
        """Begin the generations of a model: all who follow it draw the same winners, also after a restart."""
        for error_class in sorted(set(FaultClass) & set(model.evidence)):
            generation = self.generation(error_class, now_ms)
            # All that was seen here until the model was made is in what it tells.
            told = {arm: replace(tally) for arm, tally in model.evidence[error_class].items() if arm in ARMS}
            generation.tallies = {arm: told.get(arm, Tally()) for arm in ARMS}
            # It was measured under the models before.
            generation.tallies[PLANNED].halve()
            self._draw(error_class, generation, model.name)

    def _settle(self, episode: Episode, at_ms: int, lost_s: float) -> None:
        """Let every decision about a job cost what came after it."""
        for pending, failures in episode.pending:
            waited_s = max(0.0, at_ms - pending.at_ms) / 1000
            cost_s = waited_s + WASTED_TRY_S * (episode.failures - failures) + lost_s
            generation = self.generation(pending.error_class, at_ms)
            generation.tallies.setdefault(pending.arm, Tally()).add(cost_s, pending.propensity)
            generation.ends += 1
            if generation.ends >= GENERATION_ENDS:
                self._next(pending.error_class, generation, at_ms)

    def _next(self, error_class: str, generation: Generation, at_ms: int) -> None:
        self._draw(error_class, generation, f"{at_ms}")
        for tally in generation.tallies.values():
            tally.halve()

    def _draw(self, error_class: str, generation: Generation, name: str) -> None:
        """Begin a generation whose winner is drawn, by its name, from what arms have cost."""
        draws = _draws(f"{error_class}/{name}", generation.tallies)
        self._begin(generation, winner_of(generation.tallies, draws), name)

    def _begin(self, generation: Generation, winner: str, name: str) -> None:
        generation.number += 1
        generation.ends = 0
        generation.name = name
        generation.shares = shares_of(generation.number, winner, self._explored)

    def _tried(self, subject: Subject, at_ms: int, episode: Episode | None, *, worked: bool) -> None:
        # Partitions are read beside each other, so ends come a little out of order.
        self._told_s = max(self._told_s, at_ms / 1000)
        failures_before = 0 if episode is None else episode.failures - (not worked)
        self.standings.add(subject, Tried(self._told_s, worked, is_retry=failures_before > 0))

    def _seen(self, episode: Episode, working_s: float | None) -> None:
        if episode.subject is UNKNOWN:
            return
        seen = Seen((episode.failing_ms - episode.first_ms) / 1000, working_s)
        self.history.add(episode.subject, seen)
        for model in (self._models.champion, self._models.shadow):
            if model is not None:
                model.history.add(episode.subject, seen)


def _failure(attempted: Attempted, age_s: float, now_s: float) -> Failure:
    runs_s = attempted.run_s
    return Failure(
        failures=attempted.failures,
        attempt=attempted.attempt,
        age_s=age_s,
        now_s=now_s,
        run_s=runs_s[-1] if runs_s else MISSING,
        previous_run_s=runs_s[-2] if len(runs_s) > 1 else MISSING,
        mean_run_s=fmean(runs_s) if runs_s else MISSING,
        priority=attempted.priority,
        payload_bytes=attempted.payload_bytes,
    )


def _draws(seed: str, arms: Mapping[str, object]) -> dict[str, float]:
    """Give a draw in [0, 1) for each arm, always the same of one seed."""
    digests = {arm: hashlib.blake2b(f"{seed}/{arm}".encode(), digest_size=8).digest() for arm in arms}
    return {arm: (int.from_bytes(digest, "big") >> 11) / 2**53 for arm, digest in digests.items()}
