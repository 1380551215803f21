"""Threads for sync handlers."""

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class HandlerThreads(Generic[_T]):
    """Runs work on up to ``limit`` daemon threads, started as they are needed.

    Not ``concurrent.futures``: a future a job costs more than the whole hand-over, and its threads
    are joined at exit, where a handler that never ends would hold the process.
    """

    def __init__(self, limit: int, run: Callable[[_T], None]) -> None:
        self._limit = limit
        self._run = run
        self._work: queue.SimpleQueue[_T] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._started = 0

    def submit(self, work: _T) -> None:
        """Have a thread run the work; called from one thread only. ``run`` must not raise."""
        self._work.put(work)
        if self._idle.acquire(blocking=False) or self._started >= self._limit:
            return
        self._started += 1
        threading.Thread(target=self._serve, name=f"handler-{self._started}", daemon=True).start()

    def _serve(self) -> None:
        while True:
            self._run(self._work.get())
            self._idle.release()
