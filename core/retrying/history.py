"""What recoveries were seen, and the hazard that follows: of everything, of a type, of a tenant of it.

Nobody sees the moment of recovery: a try that failed and the next that worked enclose it. Such a pair is
spread over the bins between as the hazard so far would have it, one step of the self-consistent estimate
(Turnbull, "The empirical distribution function with arbitrarily grouped, censored and truncated data", 1976).

A narrower key differs from the wider one by a factor for each stretch of ages: recoveries seen there over
recoveries expected there, both with ``PRIOR`` added (the mean of a gamma prior under Poisson counts). A key
nobody has seen is therefore like the wider one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from core.retrying.bins import BINS, EDGES_S, Floats, exposure
from core.retrying.choice import Moment, Subject
from core.retrying.survival import surviving

STRETCH = 8
"""Bins that share a factor: their ages differ by a factor of three."""
STARTS = np.arange(0, BINS, STRETCH)
PRIOR = 1.5
"""Recoveries of a stretch by which a narrower key believes itself as much as the wider one."""
FIRST_HAZARD = 0.03
"""Of every bin, while nothing at all was seen: one in twenty is still on after a day."""
HALF_LIFE_EPISODES = 400.0
"""After so many further episodes of a key an old one counts half: dependencies change."""
HAZARD_MAX = 0.95
KEYS_MAX = 20_000
"""Keys that are kept, one and a half kilobytes each; the one that was added to longest ago goes first."""
SNAPSHOT_KEYS_MAX = 2_000
"""Keys of a snapshot, three megabytes, so that whoever loads a model does it in seconds."""
KEY_TEXT_MAX = 512
"""Longest text in a key of a snapshot, characters: no type, tenant or signature is half as long."""
KEY_LENGTHS = frozenset({0, 1, 2, 3})
COUNT_MAX = 1.0 / (1.0 - 0.5 ** (1.0 / HALF_LIFE_EPISODES)) + 1e-6
"""No count can be more, for an episode adds at most 1 and the older ones decay."""


class Seen(NamedTuple):
    """What was seen of one episode, as ages of it in seconds; rising.

    Attributes
    ----------
    failing_s
        It was still on at this age: the last try that failed.
    working_s
        A try worked at this age; None: it was not seen to recover.
    since_s
        Age at which the job that was watched failed first: one that joins an episode says nothing about
        what came before.
    """

    failing_s: float
    working_s: float | None
    since_s: float = 0.0


@dataclass(slots=True)
class Counts:
    """Of one key; both (n_bins,), and both decayed."""

    at_risk: Floats = field(default_factory=lambda: np.zeros(BINS))
    """Episodes that entered a bin without having recovered, parts of it counted as parts."""
    recovered: Floats = field(default_factory=lambda: np.zeros(BINS))

    def add(self, at_risk: Floats, recovered: Floats) -> None:
        """Take in an episode."""
        keep = 0.5 ** (1 / HALF_LIFE_EPISODES)
        self.at_risk *= keep
        self.at_risk += at_risk
        self.recovered *= keep
        self.recovered += recovered

    def under(self, wider: Floats) -> Floats:
        """Give the hazard of this key by that of the wider one."""
        expected = np.add.reduceat(self.at_risk * wider, STARTS)
        seen = np.add.reduceat(self.recovered, STARTS)
        factor = np.repeat((seen + PRIOR) / (expected + PRIOR), STRETCH)[:BINS]
        return np.minimum(wider * factor, HAZARD_MAX)


class Snapshot(NamedTuple):
    """What a history knew, to be carried elsewhere.

    Attributes
    ----------
    keys
        The one that was added to longest ago first.
    at_risk, recovered
        (n_keys, n_bins) float64, as in ``Counts``.
    """

    keys: tuple[tuple[str, ...], ...]
    at_risk: Floats
    recovered: Floats


class History:
    """Counts of all keys. A fold: equal episodes in equal order give equal hazards.

    Parameters
    ----------
    is_global
        Only the widest key is kept: every subject is alike.
    """

    def __init__(self, *, is_global: bool = False) -> None:
        self._is_global = is_global
        self._by_key: dict[tuple[str, ...], Counts] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def add(self, subject: Subject, seen: Seen) -> None:
        """Take in an episode that recovered, or that nobody watches any more."""
        before = self.of(subject)
        at_risk, recovered = spread(before, seen)
        for key in self._keys(subject):
            counts = self._by_key.pop(key, None) or Counts()
            counts.add(at_risk, recovered)
            # Last in, so the first is the one that was added to longest ago; the widest is always last.
            self._by_key[key] = counts
        while len(self._by_key) > KEYS_MAX:
            del self._by_key[next(iter(self._by_key))]

    def of(self, subject: Subject) -> Floats:
        """Give the hazard of each bin, (n_bins,)."""
        found = np.full(BINS, FIRST_HAZARD)
        for key in reversed(list(self._keys(subject))):
            counts = self._by_key.get(key)
            if counts is not None:
                found = counts.under(found)
        return found

    def snapshot(self, keys_max: int = SNAPSHOT_KEYS_MAX) -> Snapshot:
        """Give the keys that most was seen of, in the order in which they were added to; the widest always.

        What is left out is, in the restored history, like its wider keys.
        """
        weights = {
            key: np.inf if key == () else float(counts.at_risk.sum())
            for key, counts in self._by_key.items()
            if all(len(text) <= KEY_TEXT_MAX for text in key)
        }
        heaviest = set(sorted(weights, key=lambda key: (-weights[key], key))[:keys_max])
        keys = tuple(key for key in self._by_key if key in heaviest)
        return Snapshot(
            keys,
            np.array([self._by_key[key].at_risk for key in keys]).reshape(-1, BINS),
            np.array([self._by_key[key].recovered for key in keys]).reshape(-1, BINS),
        )

    @classmethod
    def restored(cls, snapshot: Snapshot) -> "History":
        """Give a history that answers, and goes on, as the one did that the snapshot was taken of.

        Raises
        ------
        ValueError
            No history can have been like this.
        """
        problem = _problem_of(snapshot)
        if problem is not None:
            raise ValueError(f"{problem}: the history is damaged")
        found = cls()
        for place, key in enumerate(snapshot.keys):
            found._by_key[key] = Counts(snapshot.at_risk[place].copy(), snapshot.recovered[place].copy())
        return found

    def hazards(self, moment: Moment) -> Floats:
        """See ``core.retrying.choice.Hazards``."""
        return self.of(moment.subject)

    def _keys(self, subject: Subject) -> Iterator[tuple[str, ...]]:
        """Yield keys, narrowest first."""
        if not self._is_global:
            # A tenant is known by its type: a tenant's other types say less than the type itself.
            yield (subject.signature, subject.type, subject.tenant)
            yield (subject.signature, subject.type)
            yield (subject.signature,)
        yield ()


def _problem_of(snapshot: Snapshot) -> str | None:
    keys = snapshot.keys
    if len(keys) > SNAPSHOT_KEYS_MAX:
        return f"it has {len(keys)} keys, more than {SNAPSHOT_KEYS_MAX}"
    if len(set(keys)) != len(keys):
        return "a key is there twice"
    if any(len(key) not in KEY_LENGTHS or any(len(text) > KEY_TEXT_MAX for text in key) for key in keys):
        return "a key has too many texts, or one that is too long"
    for counts in (snapshot.at_risk, snapshot.recovered):
        if counts.shape != (len(keys), BINS):
            return f"its counts have shape {counts.shape}, not ({len(keys)}, {BINS})"
        # Asked so that what is no number is too much.
        if not ((counts >= 0) & (counts <= COUNT_MAX)).all():
            return f"a count is not between 0 and {COUNT_MAX:.0f}"
    return None


def spread(hazards: Floats, seen: Seen) -> tuple[Floats, Floats]:
    """Give what an episode adds to (at risk, recovered), both (n_bins,), by the hazard that was expected."""
    at_risk = exposure(seen.since_s, seen.failing_s)
    if seen.working_s is None:
        return at_risk, np.zeros(BINS)
    inside = exposure(seen.failing_s, seen.working_s)
    if not inside.any():
        return at_risk, np.zeros(BINS)
    ages = np.clip(EDGES_S, seen.failing_s, seen.working_s)
    on = surviving(hazards, ages)
    mass = on[:-1] - on[1:]
    total = on[0] - on[-1]
    recovered = mass / total if total > 0 else inside / inside.sum()
    # Still on at the beginning of a bin, given that it recovers in between.
    waiting = np.cumsum(recovered[::-1])[::-1]
    return at_risk + waiting * inside, recovered
