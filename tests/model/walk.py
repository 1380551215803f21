"""The walk: chaos, then healing; what must hold is looked at all the way."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from core.states import State
from schemas.accepted_job import AcceptedJob
from tests.model.faults import Fault, Faults
from tests.model.laws import Rules
from tests.model.oracle import Rule, Violation
from tests.model.world import World

STEPS = 1000
"""Steps of the chaos phase."""
HEAL_ROUNDS = 300
HEAL_STEP_MS = 500


class Walk:
    """One walk; its seed says all that happens."""

    def __init__(self, seed: int, rules: Rules, favourite: Fault | None = None) -> None:
        self.world = World(seed, rules)
        self.steps = 0
        faults = Faults(self.world, favourite)
        self._actors = self.world.workers + self.world.events + [faults.happen] * 3

    def step(self) -> None:
        """Do one thing that could happen next; whatever a step raises is a violation."""
        self.steps += 1
        try:
            self.world.random.choice(self._actors)()
        except (Violation, AssertionError):
            raise
        except Exception as error:
            raise Violation(Rule.CRASHED, f"{type(error).__name__}: {error}") from error

    def chaos(self, steps: int) -> None:
        """Let anything happen."""
        for job in self.world.jobs:
            self.world.ingest(job)
        for _ in range(steps):
            self.step()
            self.world.drain_on()
        self.world.oracle.check_table(self.world.database.table, self.world.database.position)

    def heal(self) -> None:
        """Stop the faults; every job must end, and the table be what the ledger says."""
        for executor in self.world.executors:
            executor.is_paused = executor.is_deaf = executor.is_mute = False
        for handler in self.world.handlers:
            handler.is_paused = False
        self.world.prioritizer.p_divert = 0.0
        try:
            for _ in range(HEAL_ROUNDS):
                if self._is_quiet():
                    break
                self._heal_round()
        except (Violation, AssertionError):
            raise
        except Exception as error:
            raise Violation(Rule.CRASHED, f"{type(error).__name__}: {error}") from error
        self._check_end()

    def _heal_round(self) -> None:
        self.world.log.now_ms += HEAL_STEP_MS
        self.world.a_ghost_lands()
        self.world.desk_goes_on()
        for executor in self.world.executors:
            executor.pool.tick()
            executor.turn(self.world.random)
            executor.pool.begin()
            executor.pool.begin()
            executor.pool.end(self.world.random, 0.9)
            executor.settle(self.world.random)
        for key in list(self.world.orphans):
            del self.world.orphans[key]
            self.world.ended(key, task_failed=False)
        self.world.drain_on()
        for number in range(len(self.world.handlers)):
            self.world.handle(number, lambda handler: handler.turn(self.world.random))
            self.world.handle(number, lambda handler: handler.settle(self.world.random))
            self.world.janitor.step(self.world.handlers[number])
        self.world.scheduler.turn(self.world.random)
        self.world.prioritizer.turn(self.world.random)

    def _is_quiet(self) -> bool:
        has_ended = all(self.world.oracle.has_ended(job.origin, job.job_id) for job in self._owed())
        return has_ended and not self.world.ghosts and not self.world.oracle.fold.open

    def _owed(self) -> list[AcceptedJob]:
        """Give the records that are jobs of their own: of those with one key, whichever ran."""
        twins = [job for job in self.world.jobs if job.idempotency_key is not None]
        ran = [job for job in twins if self.world.oracle.has_ended(job.origin, job.job_id)]
        return [job for job in self.world.jobs if job.idempotency_key is None] + (ran or twins)[:1]

    def _check_end(self) -> None:
        for job in self._owed():
            if not self.world.oracle.has_ended(job.origin, job.job_id):
                raise Violation(Rule.STUCK, f"{job.origin}: {self.world.oracle.fold.open.get(job.origin)}")
        for _ in range(2):
            for materializer in self.world.materializers:
                materializer.turn(self.world.random)
        self.world.oracle.check_table(self.world.database.table, self.world.database.position)
        for job in self._owed():
            state = self.world.database.table.jobs[job.job_id].get("state")
            law = self.world.oracle.states.get(job.origin, State.CANCELLED)
            if state != str(law):
                raise Violation(Rule.TABLE, f"{job.origin} shows {state} instead of {law}")


@contextmanager
def silence() -> Iterator[None]:
    """Keep the steps' warnings about the walk's faults out of the report."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def walk(seed: int, rules: Rules, steps: int = STEPS, favourite: Fault | None = None) -> int:
    """Take one walk; gives the steps taken.

    Raises
    ------
    Violation
        The law does not hold; repeating the call repeats it.
    """
    taken = Walk(seed, rules, favourite)
    taken.chaos(steps)
    taken.heal()
    return taken.steps


def walks_wanted(default: int) -> int:
    """Give how many walks to take: ``MODEL_WALKS`` of the environment, or the default."""
    return int(os.environ.get("MODEL_WALKS", default))
