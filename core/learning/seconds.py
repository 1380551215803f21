"""Seconds: everything that reaches a feature is first put into the second in which it happened.

Who reports may split a second's events into parts in any way, send them in any order and again: the second
is the same. A second is closed once the watermark has passed its end, and only closed seconds are folded, in
rising order, so whoever saw the same events before the same watermarks has the same state, bit for bit.

This is the event-time model of Akidau et al. ("The dataflow model", VLDB 2015) with windows of one second.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple, Self

from core.learning.events import DID_NOT_RUN, Ended, Event, Key, Keys, Status, Submitted

SECOND_MS = 1000
LAG_MS = 2000
"""The watermark stays this far behind the largest event time seen: parts are sent once a second, and are read
within another."""
REMEMBERED_S = 120
"""So long a repeat of what is in a closed second is known as one: a little more than a service that crashed
takes to come back and hand over again. What is repeated later counts twice."""

Identity = tuple[str, int, bool]
"""Origin and n of a dispatch, and whether it is its end."""
Identities = tuple[Identity, ...]
Remembered = tuple[int, Identities]
"""A closed second, and what was new in it."""


class SecondOfKey(NamedTuple):
    """What happened to one key within a second: sorted by (time, origin, n), each dispatch once.

    Its counts are sums over what has a name, so a repeat changes none of them.
    """

    submits: tuple[Submitted, ...] = ()
    ends: tuple[Ended, ...] = ()

    @property
    def submitted(self) -> int:
        """Dispatches that became ready."""
        return len(self.submits)

    def ended(self, status: Status) -> int:
        """Dispatches that ended so."""
        return sum(end.status == status for end in self.ends)

    @property
    def run_ms(self) -> int:
        """Sum of the run times of what ended."""
        return sum(end.run_ms for end in self.ends if end.run_ms != DID_NOT_RUN)


def second_of(events: Iterable[Event]) -> SecondOfKey:
    """Give the second these events make; of two that name the same dispatch the smaller one stays."""
    submits: dict[tuple[str, int], Submitted] = {}
    ends: dict[tuple[str, int], Ended] = {}
    for event in events:
        name = (event.origin, event.n)
        if isinstance(event, Submitted):
            submits[name] = min(event, submits.get(name, event))
        else:
            ends[name] = min(event, ends.get(name, event))
    return SecondOfKey(tuple(sorted(submits.values())), tuple(sorted(ends.values())))


def merge(one: SecondOfKey, other: SecondOfKey) -> SecondOfKey:
    """Join two parts of a second: associative, commutative, and a part joined to itself is itself."""
    return second_of((*one.submits, *one.ends, *other.submits, *other.ends))


def closed_before_ms(watermark_ms: int) -> int:
    """Give the end of the last second a watermark closes: all events before it are in closed seconds."""
    return watermark_ms // SECOND_MS * SECOND_MS


class Taken(Enum):
    """What became of an event that arrived."""

    ON_TIME = "on_time"
    LATE = "late"
    """Its second was closed; it counts in the first that is open."""
    REPEATED = "repeated"
    """Known already; it changes nothing."""


ClosedSecond = tuple[int, dict[Key, SecondOfKey]]
"""A second (since 1970) and what happened in it to each key."""


class OpenSeconds:
    """Collects events until their second is closed; a function of the events before each watermark.

    Neither the order of arrival nor repeats between two watermarks change what is closed.
    """

    def __init__(self, remembered_s: int = REMEMBERED_S) -> None:
        self._remembered_s = remembered_s
        self._open: dict[int, dict[Identity, tuple[Event, Keys]]] = {}
        self._first_open = 0
        self._newest_ms = 0
        self._known: set[Identity] = set()
        self._known_by_second: deque[Remembered] = deque()

    @classmethod
    def restored(cls, first_open_s: int, remembered: Iterable[Remembered]) -> Self:
        """Give what has closed the seconds before ``first_open_s``, and remembers these, oldest first.

        What is open then is to be taken once more.
        """
        seconds = cls()
        seconds._first_open = first_open_s
        seconds._known_by_second = deque(remembered)
        for _, identities in seconds._known_by_second:
            seconds._known.update(identities)
        return seconds

    @property
    def remembered(self) -> Sequence[Remembered]:
        """The closed seconds whose events are known as repeats when they come again, oldest first."""
        return self._known_by_second

    def is_known(self, event: Event) -> bool:
        """Whether an event would be a repeat of one in a closed second."""
        return _identity(event) in self._known

    @property
    def watermark_ms(self) -> int:
        """The largest event time seen less the lag; never goes back."""
        return self._newest_ms - LAG_MS

    @property
    def first_open_s(self) -> int:
        """The first second that is not closed."""
        return self._first_open

    def take(self, event: Event, keys: Keys) -> Taken:
        """Put an event into its second, or into the first open one when its own is closed."""
        identity = _identity(event)
        at_ms = event.at_ms
        self._newest_ms = max(self._newest_ms, at_ms)
        if identity in self._known:
            return Taken.REPEATED
        second = at_ms // SECOND_MS
        late = second < self._first_open
        if late:
            second = self._first_open
        found = self._open.setdefault(second, {})
        before = found.get(identity)
        if before is None or event < before[0]:
            found[identity] = (event, keys)
        if before is not None:
            return Taken.REPEATED
        return Taken.LATE if late else Taken.ON_TIME

    def close(self, watermark_ms: int) -> Iterator[ClosedSecond]:
        """Give every second that ended by the watermark and in which something happened, in rising order."""
        until = watermark_ms // SECOND_MS
        if until <= self._first_open:
            return
        self._first_open = until
        for second in sorted(second for second in self._open if second < until):
            yield second, self._by_key(second)

    def _by_key(self, second: int) -> dict[Key, SecondOfKey]:
        """Sort a second's events by key, and remember them."""
        while self._known_by_second and self._known_by_second[0][0] < second - self._remembered_s:
            self._known.difference_update(self._known_by_second.popleft()[1])
        happened = self._open.pop(second)
        fresh = [identity for identity in happened if identity not in self._known]
        self._known.update(fresh)
        self._known_by_second.append((second, tuple(fresh)))
        submits_of: dict[Key, list[Submitted]] = {}
        ends_of: dict[Key, list[Ended]] = {}
        # Sorted once for all keys; no two of a kind have the same (time, origin, n), so keys never compare.
        for event, keys in sorted(happened[identity] for identity in fresh if not identity[2]):
            assert isinstance(event, Submitted)
            for key in keys:
                submits_of.setdefault(key, []).append(event)
        for event, keys in sorted(happened[identity] for identity in fresh if identity[2]):
            assert isinstance(event, Ended)
            for key in keys:
                ends_of.setdefault(key, []).append(event)
        found = {key: SecondOfKey((), tuple(ends)) for key, ends in ends_of.items()}
        for key, submits in submits_of.items():
            before = found.get(key)
            found[key] = SecondOfKey(tuple(submits), () if before is None else before.ends)
        return found


def _identity(event: Event) -> Identity:
    return event.origin, event.n, isinstance(event, Ended)
