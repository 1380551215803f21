"""Events in order of time, and processors that work through what is given to them."""

import heapq
from collections import deque
from collections.abc import Callable
from itertools import count

Then = Callable[[], None]


class Clock:
    """The time of the simulation, and what happens when."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._events: list[tuple[float, int, Then]] = []
        self._numbers = count()

    def after(self, delay_s: float, then: Then) -> None:
        """Let something happen later; what is due at one time happens in the order it was asked for."""
        heapq.heappush(self._events, (self.now_s + delay_s, next(self._numbers), then))

    def run(self, until_s: float) -> None:
        """Let everything happen that is due until then."""
        while self._events and self._events[0][0] <= until_s:
            self.now_s, _, then = heapq.heappop(self._events)
            then()
        self.now_s = until_s


class Cores:
    """Several equal processors and one queue, in slices: nobody waits for the whole of a long piece of work.

    Parameters
    ----------
    slice_s
        After this much the rest of a piece of work goes to the end of the queue, as an operating system
        does it.
    """

    def __init__(self, clock: Clock, number: int, slice_s: float = 0.004) -> None:
        self.number = number
        self._clock = clock
        self._slice_s = slice_s
        self._free = number
        self._waiting: deque[tuple[float, Then]] = deque()

    def work(self, cost_s: float, then: Then) -> None:
        """Do so much, then tell."""
        if self._free:
            self._free -= 1
            self._start(cost_s, then)
        else:
            self._waiting.append((cost_s, then))

    def _start(self, cost_s: float, then: Then) -> None:
        part_s = cost_s if not self._waiting else min(cost_s, self._slice_s)
        self._clock.after(part_s, lambda: self._sliced(cost_s - part_s, then))

    def _sliced(self, rest_s: float, then: Then) -> None:
        if rest_s > 1e-12:
            self._waiting.append((rest_s, then))
        else:
            then()
        if self._waiting:
            self._start(*self._waiting.popleft())
        else:
            self._free += 1


class Process:
    """Somebody who works on processors, its own or shared ones, and what that came to."""

    def __init__(self, cores: Cores) -> None:
        self.cores = cores
        self.busy_s = 0.0
        """Processor time asked for so far."""

    def work(self, cost_s: float, then: Then) -> None:
        """Do so much, then tell."""
        self.busy_s += cost_s
        self.cores.work(cost_s, then)
