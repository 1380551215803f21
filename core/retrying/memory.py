"""What a dlq_handler remembers of failures it saw in the ledger: episodes, what came of arms, who wins.

Everything is bounded, and nothing is restored but by reading the ledger again: a handler that begins anew
knows what its stretch of the ledger says. Two handlers may know different things and decide differently
about the same failure; of two decisions the first in the log holds.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from core.fault import FaultClass
from core.retry import ClosedDispatch, RetryPolicy
from core.retrying.ask import ask
from core.retrying.asked import Asked, Pending, Situation
from core.retrying.choice import UNKNOWN, Moment, Subject
from core.retrying.explore import ARMS, CONTROL, Shares, Tally, shares_of, winner_of
from core.retrying.history import History, Seen
from core.retrying.off_policy import ABANDONED_S, WASTED_TRY_S

OPEN_MAX = 50_000
"""Jobs between their first failure and their end, some 300 bytes each; the one that failed longest ago
goes."""
GENERATION_ENDS = 2500
"""Decisions about a class whose jobs have ended, after which its winner is chosen anew: with 5 % explored
some sixty for each arm that is tried, above ``core.retrying.explore.EFFECTIVE_MIN``."""


@dataclass(slots=True)
class Episode:
    """A job from its first failure on."""

    first_ms: int
    failing_ms: int
    failures: int = 0
    subject: Subject = UNKNOWN
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


class RetryMemory:
    """A fold of failures, decisions and successes; equal events in equal order give equal answers.

    Parameters
    ----------
    explored
        Share of decisions that tries other arms; see ``core.retrying.explore``.
    """

    def __init__(self, explored: float) -> None:
        self.history = History()
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
        if episode is not None:
            self._settle(episode, at_ms, 0.0)
            self._seen(episode, max(0.0, at_ms - episode.first_ms) / 1000)

    def given_up(self, origin: str, at_ms: int) -> None:
        """Take in that a job is dead: nobody looks any more whether it would work."""
        episode = self._open.pop(origin, None)
        if episode is not None:
            self._settle(episode, at_ms, ABANDONED_S)
            self._seen(episode, None)

    def about(self, origin: str, tenant: str, type_: str, signature: str) -> None:
        """Learn what failed; the ledger alone does not say it."""
        episode = self._open.get(origin)
        if episode is not None:
            episode.subject = Subject(tenant, type_, signature)

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
    ) -> tuple[Asked, str]:
        """Say how long to wait, and in which generation that was said."""
        shared = self.generation(str(closed.fault), situation.now_ms)
        moment = Moment(
            age_s=situation.age_s,
            failures=closed.failures,
            tries_left=situation.tries_left,
            latest_s=situation.latest_s,
            now_s=situation.now_ms / 1000,
            subject=Subject(situation.tenant, situation.type, situation.signature),
        )
        return ask(closed, policy, moment, shared.shares, self.history, dispatch), shared.name

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
        winner = winner_of(generation.tallies, _draws(f"{error_class}/{at_ms}", generation.tallies))
        generation.number += 1
        generation.ends = 0
        generation.name = f"{at_ms}"
        generation.shares = shares_of(generation.number, winner, self._explored)
        for tally in generation.tallies.values():
            tally.halve()

    def _seen(self, episode: Episode, working_s: float | None) -> None:
        if episode.subject is not UNKNOWN:
            failing_s = (episode.failing_ms - episode.first_ms) / 1000
            self.history.add(episode.subject, Seen(failing_s, working_s))


def _draws(seed: str, arms: Mapping[str, object]) -> dict[str, float]:
    """Give a draw in [0, 1) for each arm, always the same of one seed."""
    digests = {arm: hashlib.blake2b(f"{seed}/{arm}".encode(), digest_size=8).digest() for arm in arms}
    return {arm: (int.from_bytes(digest, "big") >> 11) / 2**53 for arm, digest in digests.items()}
