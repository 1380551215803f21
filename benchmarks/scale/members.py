"""Processes of the simulated pipeline: what they fetch, what that costs, and what they append."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable

import numpy as np
from typing_extensions import override

from benchmarks.scale.world import ROW, Births, World, touched

POLL_MAX = 2000
"""Records of one wake, as stages poll."""
LEDGER_RECORDS = 4
"""Of a job that succeeds at once."""
BUCKETS_USED = 2
"""Of one partition, that jobs at one time fall into."""
SCHEDULER_REST_S = 0.25

Message = tuple[str, Births]


class Member(ABC):
    """One process: fetches what is there for it, works on it in wakes, and works on when that is appended.

    Parameters
    ----------
    places
        Partitions it fetches from, over all of its topics.
    rest_s
        Pause after each wake.
    """

    def __init__(self, world: World, service: str, number: int, places: float, rest_s: float = 0.0) -> None:
        self.world = world
        self.service = service
        self.places = places
        self.costs = world.costs.stages[service]
        self.process = world.process(f"{service}-{number}")
        self.stalled_until_s = 0.0
        self._rest_s = rest_s
        self._there: deque[Message] = deque()
        self._inbox: deque[Message] = deque()
        self._fetching = False
        self._busy = False

    @property
    def waiting(self) -> int:
        """Records that were not taken yet."""
        return sum(len(births) for _, births in (*self._there, *self._inbox))

    def leftovers(self) -> list[Message]:
        """Give all that was appended for it and not worked on: whoever takes its partitions over reads it."""
        return [*self._inbox, *self._there]

    def arrive(self, kind: str, births: Births) -> None:
        """Take note that records can be fetched."""
        self._there.append((kind, births))
        self._fetch()

    def _fetch(self) -> None:
        # One answer is fetched ahead while another is worked on.
        if self._fetching or not self._there or self._inbox:
            return
        taken = self._taken(self._there)
        records = sum(len(births) for _, births in taken)
        self._fetching = True
        self.world.fetch(records, touched(self.places, records), lambda: self._fetched(taken))

    def _fetched(self, taken: list[Message]) -> None:
        self._fetching = False
        self._inbox.extend(taken)
        self.turn()

    def turn(self) -> None:
        """Begin a wake when there is something to do."""
        if self._busy or not self.has_work():
            return
        stall_s = self.stalled_until_s - self.world.clock.now_s
        self._busy = True
        if stall_s > 0:
            self.world.clock.after(stall_s, self._begin)
        else:
            self._begin()

    def _begin(self) -> None:
        taken = self._taken(self._inbox)
        self._fetch()
        self.wake(taken)

    def has_work(self) -> bool:
        """Say whether a wake would do anything."""
        return bool(self._inbox)

    @abstractmethod
    def wake(self, taken: list[Message]) -> None:
        """Work on what was taken."""

    def spend(self, jobs: float, appended: float, then: Callable[[], None]) -> None:
        """Use the CPU of one wake, which appends so many batches."""
        cost_us = self.costs.wake_us + self.costs.job_us * jobs + self.world.costs.batch_us * appended
        self.process.work(cost_us / 1e6, then)

    def done(self) -> None:
        """End the wake."""
        if self._rest_s:
            self.world.clock.after(self._rest_s, self._rested)
        else:
            self._rested()

    def _rested(self) -> None:
        self._busy = False
        self.turn()
        self._fetch()

    @staticmethod
    def _taken(queue: deque[Message]) -> list[Message]:
        taken: list[Message] = []
        room = POLL_MAX
        while queue and room > 0:
            kind, births = queue.popleft()
            if len(births) > room:
                queue.appendleft((kind, births[room:]))
                births = births[:room]
            taken.append((kind, births))
            room -= len(births)
        return taken


def joined(taken: list[Message], kind: str) -> Births:
    """Put the jobs of one kind together."""
    parts = [births for of, births in taken if of == kind]
    return np.concatenate(parts) if parts else np.empty(0)


class HandOver(Member):
    """Ingest, or the prioritizer: one record in, a record and a note out, acknowledged before the next wake.

    Parameters
    ----------
    homes
        Places its records can go to: all partitions for ingest, its own for the prioritizer.
    """

    def __init__(
        self,
        world: World,
        service: str,
        number: int,
        places: float,
        homes: tuple[float, float],
        out: Callable[[Births], None],
    ) -> None:
        super().__init__(world, service, number, places)
        self._homes = homes
        self._out = out

    @override
    def wake(self, taken: list[Message]) -> None:
        """Work, append both, and only then go on."""
        births = np.concatenate([births for _, births in taken])
        count = len(births)
        batches = sum(touched(homes, count) for homes in self._homes)

        def worked() -> None:
            self.world.append(2 * count, batches, appended)

        def appended() -> None:
            self._out(births)
            self.done()

        self.spend(count, batches, worked)


class Follower(Member):
    """The dlq_handler or the scheduler: reads the ledger, and has nothing to do for jobs that succeed."""

    @override
    def wake(self, taken: list[Message]) -> None:
        """Fold."""
        records = sum(len(births) for _, births in taken)
        self.spend(records / LEDGER_RECORDS, 0.0, self.done)


class Materializer(Member):
    """Folds the ledger and writes rows, one transaction a wake."""

    @override
    def wake(self, taken: list[Message]) -> None:
        """Fold, write, and only then go on."""
        records = sum(len(births) for _, births in taken)
        jobs, closed = records / LEDGER_RECORDS, joined(taken, "closed")
        postgres, world = self.world.costs.postgres, self.world

        def folded() -> None:
            cost_us = postgres.wake_us + postgres.job_us * jobs
            world.postgres.work(cost_us / 1e6, lambda: world.clock.after(commit_s, written))

        def written() -> None:
            if len(closed):
                world.note(ROW, closed)
            self.done()

        commit_s = world.deployment.fsync_s + 2 * world.deployment.network_s
        self.spend(jobs, 0.0, folded)
