"""Which queued dispatch runs next: the head with the earliest ready time less its head start."""

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Turn(Enum):
    """Whose turn the next start is."""

    BEST = "best"
    """The head with the earliest ready time less its head start."""
    OLDEST = "oldest"
    """The head with the earliest ready time, whatever its head start."""


class Turns(Protocol[T_contra]):
    """Says before every start whose turn it is, and hears what was started."""

    def whose(self, oldest_ready_ms: int) -> Turn:
        """Say whose turn the next start is; the oldest that waits became ready then."""
        ...

    def took(self, item: T_contra, *, is_oldest: bool) -> None:
        """Hear that an item was taken, and whether none was ready before it."""
        ...


@dataclass(slots=True)
class Lane(Generic[T]):
    """One first-in, first-out queue and the head start of everything in it, milliseconds."""

    head_start_ms: float
    items: deque[tuple[int, T]]


class HeadOrder(Generic[T]):
    """Lanes of items, each with a ready time; ``take`` gives them in head-start order.

    Within a lane strictly first in, first out. Between lanes an item is overtaken only by items
    that became ready less than the difference of the two head starts after it: waiting is bounded
    by construction, nothing needs to age.
    """

    def __init__(self) -> None:
        self._lanes: dict[Hashable, Lane[T]] = {}

    def __len__(self) -> int:
        return sum(len(lane.items) for lane in self._lanes.values())

    def offer(self, lane: Hashable, head_start_ms: float, ready_ms: int, item: T) -> None:
        """Append an item to its lane; a lane's head start is set by its first item."""
        found = self._lanes.get(lane)
        if found is None:
            found = self._lanes[lane] = Lane(head_start_ms, deque())
        found.items.append((ready_ms, item))

    def take(
        self,
        wanted: int,
        fits: Callable[[T], bool],
        is_open: Callable[[Hashable], bool] = lambda _lane: True,
        turns: Turns[T] | None = None,
    ) -> Iterator[T]:
        """Give up to ``wanted`` items, passing over what does not fit right now.

        Best first, unless ``turns`` says that it is the oldest's turn.

        An item passed over keeps its place at the front of its lane. ``fits`` is asked once per
        item and call, so it may count what it has let through. Of a lane that is not open nothing is
        taken; that is asked before every item.
        """
        passed: list[tuple[Lane[T], tuple[int, T]]] = []
        given = 0
        while given < wanted:
            heads = self._heads(is_open)
            if heads is None:
                break
            oldest_ms, oldest, best = heads
            lane = best if turns is None or turns.whose(oldest_ms) is Turn.BEST else oldest
            entry = lane.items.popleft()
            if fits(entry[1]):
                given += 1
                if turns is not None:
                    turns.took(entry[1], is_oldest=entry[0] == oldest_ms)
                yield entry[1]
            else:
                passed.append((lane, entry))
        for lane, entry in reversed(passed):
            lane.items.appendleft(entry)

    def shed(self, is_over: Callable[[T], bool]) -> list[T]:
        """Remove from the front of every lane what is over; costs a look at each lane's head."""
        shed: list[T] = []
        for lane in self._lanes.values():
            while lane.items and is_over(lane.items[0][1]):
                shed.append(lane.items.popleft()[1])
        return shed

    def _heads(self, is_open: Callable[[Hashable], bool]) -> tuple[int, Lane[T], Lane[T]] | None:
        """Give when the oldest item became ready, its lane, and the lane of the best; None: nothing waits."""
        waiting = [lane for key, lane in self._lanes.items() if lane.items and is_open(key)]
        if not waiting:
            return None
        oldest = min(waiting, key=lambda lane: lane.items[0][0])
        best = min(waiting, key=lambda lane: lane.items[0][0] - lane.head_start_ms)
        return oldest.items[0][0], oldest, best

    def set_head_start(self, lane: Hashable, head_start_ms: float) -> None:
        """Give everything in a lane another head start; one that was never offered to is left alone."""
        found = self._lanes.get(lane)
        if found is not None:
            found.head_start_ms = head_start_ms

    def waiting(self, lane: Hashable) -> int:
        """Items in one lane."""
        found = self._lanes.get(lane)
        return 0 if found is None else len(found.items)

    def oldest_ms(self, lane: Hashable) -> int | None:
        """Ready time of a lane's head, None when it is empty."""
        found = self._lanes.get(lane)
        return found.items[0][0] if found is not None and found.items else None

    def lanes(self) -> list[Hashable]:
        """Give every lane that was ever offered to and not dropped."""
        return list(self._lanes)

    def drop(self, lane: Hashable) -> list[T]:
        """Forget a lane; give all it held, in order."""
        found = self._lanes.pop(lane, None)
        return [] if found is None else [item for _, item in found.items]
