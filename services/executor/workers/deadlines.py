"""Holding attempts to their timeouts, and to the end of those that were cancelled."""

import asyncio
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

from penstock.context import CancelReason
from penstock.worker.frames import TaskPolicy
from services.executor.workers.blame import Cause, Death, culprits
from services.executor.workers.options import PoolOptions
from services.executor.workers.process import WorkerProcess

_PROBE_S = 0.5
"""Wait for a late worker's answer; one that cannot answer this soon has its late jobs blamed."""


class Patience(NamedTuple):
    """How long a cancelled attempt may go on, seconds from the cancel."""

    cancel_after_s: float
    """Until an async handler is cancelled."""
    kill_after_s: float
    """Until its worker is killed."""


def patience(policy: TaskPolicy | None, options: PoolOptions) -> Patience:
    """Give how long a cancelled attempt of a task may go on.

    An async handler is cancelled after the grace period and gets as long to clean up as after a
    timeout; a sync one that goes on cannot be told again.
    """
    own_s = None if policy is None else policy.cancel_grace_s
    grace_s = options.cancel_grace_s if own_s is None else own_s
    is_async = policy is None or policy.is_async
    return Patience(grace_s, grace_s + options.timeout_grace_s if is_async else grace_s)


class DeadlineWatch:
    """Asks late attempts to stop and kills the worker of those that do not.

    One timer for all open jobs, set to the earliest due time it has seen: a timer a job would cost
    more than the job's hand-over, and a look at all open jobs (at most the slots) now and then is cheap.

    Parameters
    ----------
    workers
        Gives the live workers.
    grace_s
        From the timeout to the kill.
    """

    def __init__(self, workers: Callable[[], Iterable[WorkerProcess]], grace_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._workers = workers
        self._grace_s = grace_s
        self._timer: asyncio.TimerHandle | None = None
        self._next_s = math.inf
        self._trials: set[asyncio.Task[None]] = set()

    def expect(self, due_s: float) -> None:
        """Look at ``due_s`` (loop time) at the latest."""
        if due_s < self._next_s:
            self._set(due_s)

    def cancel(self, worker: WorkerProcess, key: str, patience: Patience) -> None:
        """Ask an attempt to stop, and kill its worker when it does not; asked before changes nothing.

        A cancel gives no attempt longer than its timeout would have.
        """
        one = worker.jobs[key]
        if one.asked is not None:
            return
        worker.ask_to_stop([key], CancelReason.CANCEL, patience.cancel_after_s)
        one.asked = CancelReason.CANCEL
        one.due_s = min(self._loop.time() + patience.kill_after_s, one.due_s + self._grace_s)
        self.expect(one.due_s)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        for trial in self._trials:
            trial.cancel()

    def _set(self, due_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next_s = due_s
        self._timer = self._loop.call_at(due_s, self._look)

    def _look(self) -> None:
        now_s = self._loop.time()
        self._next_s = math.inf
        self._timer = None
        soonest_s = min((self._look_at(worker, now_s) for worker in self._workers()), default=math.inf)
        if soonest_s < math.inf:
            self._set(soonest_s)

    def _look_at(self, worker: WorkerProcess, now_s: float) -> float:
        """Act on the late jobs of a worker and give when to look at it again."""
        if worker.is_condemned:
            return math.inf
        late = [one for one in worker.jobs.values() if one.due_s <= now_s]
        if any(one.asked for one in late):
            worker.is_condemned = True
            trial = self._loop.create_task(self._try(worker))
            self._trials.add(trial)
            trial.add_done_callback(self._trials.discard)
            return math.inf
        if late:
            worker.ask_to_stop([one.job.key for one in late], CancelReason.TIMEOUT)
        for one in late:
            one.asked = CancelReason.TIMEOUT
            one.due_s = now_s + self._grace_s
        return min((one.due_s for one in worker.jobs.values()), default=math.inf)

    async def _try(self, worker: WorkerProcess) -> None:
        """Kill a worker whose late jobs did not stop, unless they just did."""
        probed = await worker.probe(_PROBE_S)
        now_s = self._loop.time()
        late = {key: one.asked for key, one in worker.jobs.items() if one.asked and one.due_s <= now_s}
        cancelled = frozenset(key for key, reason in late.items() if reason is CancelReason.CANCEL)
        overdue = frozenset(late) - cancelled
        if overdue:
            blamed = culprits(overdue, frozenset(worker.jobs), probed)
            worker.kill(Death(Cause.TIMEOUT, culprits=blamed, cancelled=cancelled))
            return
        if cancelled:
            # Whoever holds the loop meanwhile is not late for anything, so it pays nothing.
            worker.kill(Death(Cause.CANCEL, cancelled=cancelled))
            return
        worker.is_condemned = False
        self.expect(min((one.due_s for one in worker.jobs.values()), default=math.inf))
