"""How tries went lately, by key: what is known of the world beside the failure that is decided about."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from core.retrying.choice import Subject
from core.retrying.columns import Kind

KEEP = 0.95
"""Of a decayed count a try: the last twenty or so decide."""
HALF_LIFE_S = 3600.0
"""Of the counts by time: an outage's."""
PRIOR_TRIES = 1.0
"""A key's own share outweighs that of the wider key after so many tries."""
PRIOR_SHARE = 0.5
"""Share that is expected to work while nothing at all was tried."""
KEYS_MAX = 50_000
"""Keys that are kept, some 200 bytes each; the one that was used longest ago goes first."""
NEVER = -math.inf


class Tried(NamedTuple):
    """A try that ended, by itself: neither cancelled nor lost."""

    at_s: float
    """Seconds since 1970."""
    worked: bool
    is_retry: bool
    """An earlier try of the same job failed."""


@dataclass(slots=True)
class Standing:
    """Of one key. Counts named ``_now`` are decayed by tries, those named ``_1h`` by time."""

    worked: int = 0
    failed: int = 0
    worked_now: float = 0.0
    failed_now: float = 0.0
    retry_worked: int = 0
    retry_failed: int = 0
    retry_worked_now: float = 0.0
    retry_failed_now: float = 0.0
    worked_1h: float = 0.0
    failed_1h: float = 0.0
    at_s: float = NEVER
    last_worked_s: float = NEVER
    last_failed_s: float = NEVER
    streak: int = 0
    """Tries in a row that went like the last: positive when it worked, negative when it failed."""

    def add(self, tried: Tried) -> None:
        """Take in a try, not earlier than the one before."""
        hit, miss = float(tried.worked), float(not tried.worked)
        keep_1h = 2.0 ** ((self.at_s - tried.at_s) / HALF_LIFE_S)
        self.worked_1h = self.worked_1h * keep_1h + hit
        self.failed_1h = self.failed_1h * keep_1h + miss
        self.worked_now = self.worked_now * KEEP + hit
        self.failed_now = self.failed_now * KEEP + miss
        if tried.is_retry:
            self.retry_worked += tried.worked
            self.retry_failed += not tried.worked
            self.retry_worked_now = self.retry_worked_now * KEEP + hit
            self.retry_failed_now = self.retry_failed_now * KEEP + miss
        if tried.worked:
            self.worked += 1
            self.last_worked_s = tried.at_s
            self.streak = max(self.streak, 0) + 1
        else:
            self.failed += 1
            self.last_failed_s = tried.at_s
            self.streak = min(self.streak, 0) - 1
        self.at_s = tried.at_s


def keys_of(subject: Subject) -> Iterator[tuple[Kind, str, str]]:
    """Yield the keys of a subject, widest first; what is not known has none."""
    yield (Kind.EVERYTHING, "", "")
    if subject.tenant:
        yield (Kind.TENANT, subject.tenant, "")
    if subject.type:
        yield (Kind.TYPE, subject.type, "")
    if subject.tenant and subject.type:
        yield (Kind.TENANT_TYPE, subject.tenant, subject.type)
    if subject.signature:
        yield (Kind.SIGNATURE, subject.signature, "")


class Standings:
    """Of all keys: a fold of tries in order of time."""

    def __init__(self) -> None:
        self._by_key: dict[tuple[Kind, str, str], Standing] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def add(self, subject: Subject, tried: Tried) -> None:
        """Take in a try of a subject; one that worked counts for a signature only if it is given."""
        for key in keys_of(subject):
            standing = self._by_key.pop(key, None) or Standing()
            standing.add(tried)
            # Last in: the first is the one that was used longest ago.
            self._by_key[key] = standing
        while len(self._by_key) > KEYS_MAX:
            del self._by_key[next(iter(self._by_key))]

    def of(self, subject: Subject) -> dict[Kind, Standing]:
        """Give what is known of a subject's keys; what was never tried is left out."""
        return {
            key[0]: standing for key in keys_of(subject) if (standing := self._by_key.get(key)) is not None
        }
