"""A stand-in for the worker pool: one worker process with a lease timer and a death signal of its own."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

from penstock.errors import ErrorClass
from penstock.worker.frames import JobOutcome, StartJob, TaskPolicy
from tests.model.laws import Watchdog

SLOTS = 2
RUN_S = (0.0, 0.4, 0.4, 2.0, 40.0)
"""How long a run takes at least; some outlive the lease."""


class RunWatch(Protocol):
    """Who is told what really runs."""

    @property
    def now_s(self) -> float: ...

    def submitted(self, boot_id: str, lease_left_s: float) -> None: ...

    def began(self, boot_id: str, key: str) -> None: ...

    def ended(self, key: str, *, task_failed: bool) -> None: ...


class ModelPool:
    """The part of ``WorkerPool`` that the executor's steps use, and the worker behind it.

    What is submitted lies in the worker's pipe until the worker begins it, whatever the executor does
    meanwhile. The kernel's timer ends the worker at the end of the lease, also when the executor is stopped.
    """

    def __init__(self, watch: RunWatch, watchdog: Watchdog, random: Random) -> None:
        self._random = random
        self._watch = watch
        self._watchdog = watchdog
        self._pipe: dict[str, str] = {}
        self._running: dict[str, float] = {}
        """When each run may end, seconds of the clock."""
        self._asked_to_stop: set[str] = set()
        self._outcomes: list[JobOutcome] = []
        self.is_stopping = False
        self._timer_s: float | None = None
        self.boot_id = ""
        self.submitted = 0
        self.policies: dict[str, TaskPolicy] = {}

    @property
    def free_slots(self) -> int:
        return max(0, SLOTS - len(self._pipe) - len(self._running))

    @property
    def has_outcomes(self) -> bool:
        return bool(self._outcomes)

    @property
    def is_running(self) -> bool:
        return bool(self._running)

    def doable(self, random: Random) -> list[Callable[[], object]]:
        """Give what the worker could do next; a run takes several turns to end."""
        acts: list[Callable[[], object]] = []
        if self._pipe:
            acts.extend([self.begin] * 3)
        if self._running:
            acts.append(lambda: self.end(random, p_success=0.4))
        return acts

    def submit(self, jobs: Sequence[StartJob]) -> None:
        if self.is_stopping:
            raise ValueError("the pool stops; give the jobs back")
        if any(job.key in self._pipe or job.key in self._running for job in jobs):
            raise ValueError("already running")
        self.submitted += len(jobs)
        self._pipe.update({job.key: self.boot_id for job in jobs})

    def cancel(self, key: str) -> None:
        self._asked_to_stop.add(key)
        if key in self._running and self._random.random() < 0.5:
            self._running[key] = self._watch.now_s

    def renew_lease(self, until_s: float) -> None:
        self._timer_s = until_s
        self.tick()

    async def kill_all(self) -> list[str]:
        self._timer_s = None
        return self.die()

    def die(self) -> list[str]:
        """End the worker without outcomes."""
        dropped = [*self._pipe, *self._running]
        for key in self._running:
            self._watch.ended(key, task_failed=False)
        self._pipe.clear()
        self._running.clear()
        return dropped

    def tick(self) -> None:
        """Let the kernel's timer end the worker; the pool hears of it and starts another."""
        if self._watchdog is Watchdog.PARENT_ALONE or self._timer_s is None:
            return
        if self._watch.now_s < self._timer_s:
            return
        dropped = self.die()
        self._timer_s = None
        for key in dropped:
            died = JobOutcome(
                key, False, 0.1, error_class="lost", error_type="WorkerDied", cohort=len(dropped)
            )
            self._outcomes.append(died)

    def parent_died(self) -> dict[str, str]:
        """End with the executor; gives what runs on when nothing ends the worker."""
        orphans = dict.fromkeys(self._running, self.boot_id)
        if self._watchdog is Watchdog.LEASE_ALONE:
            self._running.clear()
            return orphans
        self.die()
        return {}

    def begin(self) -> None:
        """Let the worker take the next job out of its pipe."""
        self.tick()
        if self._pipe:
            key = next(iter(self._pipe))
            boot_id = self._pipe.pop(key)
            self._running[key] = self._watch.now_s + self._random.choice(RUN_S)
            self._watch.began(boot_id, key)

    def hurry(self) -> None:
        """Let everything that runs be ready to end."""
        self._running = dict.fromkeys(self._running, self._watch.now_s)

    def end(self, random: Random, p_success: float) -> None:
        """Let one run end."""
        over = [key for key, until_s in self._running.items() if until_s <= self._watch.now_s]
        if not over:
            return
        key = random.choice(over)
        del self._running[key]
        ok = random.random() < p_success
        if key in self._asked_to_stop and not ok:
            outcome = JobOutcome(key, False, 0.1, error_class="permanent", error_type="Cancelled")
        elif ok:
            outcome = JobOutcome(key, True, 0.1, result=b"1")
        else:
            error_class: ErrorClass = "permanent" if random.random() < 0.2 else "transient"
            outcome = JobOutcome(key, False, 0.1, error_class=error_class, error_type="ValueError")
        self._watch.ended(key, task_failed=not ok)
        self._outcomes.append(outcome)

    def take_outcomes(self) -> list[JobOutcome]:
        taken, self._outcomes = self._outcomes, []
        return taken

    def stop(self) -> None:
        """Stop at once: what did not end is given back."""
        self.is_stopping = True
        for key in self.die():
            returned = JobOutcome(
                key, False, 0.0, error_class="lost", error_type="WorkerKilled", collateral=True
            )
            self._outcomes.append(returned)
