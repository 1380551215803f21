"""The simulated executor: claims into free slots, starts what it read back, closes what ended."""

from collections import deque
from collections.abc import Callable

import numpy as np
from typing_extensions import override

from benchmarks.scale.members import LEDGER_RECORDS, Member, Message, joined
from benchmarks.scale.world import Births, World, touched

CLAIM_PART, FOLLOW_PART, CLOSE_PART = 0.3, 0.45, 0.25
"""How the executor's CPU of a job falls on its dispatch, the four records of the ledger, and its end
(docs/performance.md, What dominates)."""
HEARTBEAT_S = 3.0


class Executor(Member):
    """One executor with its workers; it works on while its appends are under way."""

    def __init__(
        self,
        world: World,
        number: int,
        places: float,
        run_time_s: float,
        out: Callable[[str, Births, "Executor"], None],
    ) -> None:
        super().__init__(world, "executor", number, places)
        self.free = world.deployment.slots
        self._run_time_s = run_time_s
        self._out = out
        self._homes = places / 2
        self._queued: deque[Births] = deque()
        self._ended: list[Births] = []
        self._workers = world.process(f"workers-{number}", 2)

    @property
    def queued(self) -> int:
        """Dispatches that wait for a slot."""
        return sum(map(len, self._queued))

    @override
    def has_work(self) -> bool:
        """Say whether a wake would do anything."""
        return super().has_work() or bool(self._ended) or (self.free > 0 and bool(self._queued))

    @override
    def wake(self, taken: list[Message]) -> None:
        """Claim, start and close what there is."""
        dispatched, read_back = joined(taken, "dispatch"), joined(taken, "claim")
        if len(dispatched):
            self._queued.append(dispatched)
        claims = self._claims()
        ended = np.concatenate(self._ended) if self._ended else np.empty(0)
        self._ended = []
        records = sum(len(births) for _, births in taken)
        ledger = records - len(dispatched)
        jobs = CLAIM_PART * len(claims) + FOLLOW_PART * ledger / LEDGER_RECORDS + CLOSE_PART * len(ended)
        batches = touched(self._homes, len(claims)) + touched(self._homes, len(ended))

        def worked() -> None:
            for kind, births in (("claim", claims), ("closed", ended)):
                if len(births):
                    self._append(kind, births)
            if len(read_back):
                self._start(read_back)
            self.done()

        self.spend(jobs, batches, worked)

    def _claims(self) -> Births:
        parts: list[Births] = []
        while self._queued and self.free > 0:
            births = self._queued.popleft()
            if len(births) > self.free:
                self._queued.appendleft(births[self.free :])
                births = births[: self.free]
            self.free -= len(births)
            parts.append(births)
        return np.concatenate(parts) if parts else np.empty(0)

    def _append(self, kind: str, births: Births) -> None:
        def appended() -> None:
            self.world.note("claimed" if kind == "claim" else "closed in the ledger", births)
            self._out(kind, births, self)

        self.world.append(len(births), touched(self._homes, len(births)), appended)

    def _start(self, births: Births) -> None:
        self.world.note("started", births)
        cost_s = self.world.costs.worker_job_us * len(births) / 1e6
        self._workers.work(
            cost_s, lambda: self.world.clock.after(self._run_time_s, lambda: self._end(births))
        )

    def _end(self, births: Births) -> None:
        self.free += len(births)
        self._ended.append(births)
        self.turn()
