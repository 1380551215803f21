"""SAQ on Redis; a finished job's own key says so.

Settings, from SAQ's documentation:

- ``--workers 2``: the README, "Easily run multiple workers to leverage more cores".
- ``concurrency 10``: the README's example and the default.
- ``hiredis``: the README, "Install".
- Many at once through ``asyncio.gather``, as in its own ``benchmarks/simple.py``; the queue itself limits how
  many requests are under way (``max_concurrent_ops``, 20).

The first jobs wait until both workers are up and have swept. A worker sweeps at its start and then every
minute, and takes a job just taken, but not marked as active yet, for a stuck one: in trials such jobs
ran again, or never came to be complete.

Run with ``python -m`` it is the driver.
"""

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from saq import Queue

from benchmarks.peers.apps.driver import serve
from benchmarks.peers.apps.effects import note, payload
from benchmarks.peers.apps.results import Results

URL = os.environ["PEERS_REDIS"]

WORKERS = 2
SWEPT_S = 1.0
"""From when a worker is known, by when its first sweep, begun at the same moment, is over."""

queue = Queue.from_url(URL)


async def noop(_ctx: Any, *, number: int, text: str) -> None:  # noqa: ARG001 - the payload's filling
    """Note that it ran."""
    note(number)


settings = {"queue": queue, "functions": [noop], "concurrency": 10}


class Submitter:
    """Enqueues through the queue's own connections."""

    packages = ("saq", "redis", "hiredis")

    async def open(self) -> None:
        """Connect."""
        self._results = Results(URL, b'"status": "complete"')
        self._are_up = False
        await queue.connect()

    async def submit_many(self, numbers: Sequence[int]) -> list[str]:
        """Enqueue at once; the first time, once both workers are up."""
        if not self._are_up:
            await _until_up()
            self._are_up = True
        return list(await asyncio.gather(*[self.submit(number) for number in numbers]))

    async def submit(self, number: int) -> str:
        """Enqueue one."""
        job = await queue.enqueue("noop", **payload(number))
        assert job is not None, "SAQ knows a job of this key"
        return str(job.id)

    async def ended(self, ids: Sequence[str]) -> set[str]:
        """Read the jobs' keys."""
        return self._results.ended(ids)


async def _until_up() -> None:
    while len((await queue.info())["workers"]) < WORKERS:  # noqa: ASYNC110 - other processes; there is no event
        await asyncio.sleep(0.1)
    await asyncio.sleep(SWEPT_S)


if __name__ == "__main__":
    serve(Submitter())
