"""SAQ on Redis; a finished job's own key says so.

Settings, from SAQ's documentation:

- ``--workers 2``: the README, "Easily run multiple workers to leverage more cores".
- ``concurrency 10``: the README's example and the default.
- ``hiredis``: the README, "Install".
- Many at once through ``asyncio.gather``, as in its own ``benchmarks/simple.py``; the queue itself limits how
  many requests are under way (``max_concurrent_ops``, 20).

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
        await queue.connect()

    async def submit_many(self, numbers: Sequence[int]) -> list[str]:
        """Enqueue at once."""
        return list(await asyncio.gather(*[self.submit(number) for number in numbers]))

    async def submit(self, number: int) -> str:
        """Enqueue one."""
        job = await queue.enqueue("noop", **payload(number))
        assert job is not None, "SAQ knows a job of this key"
        return str(job.id)

    async def ended(self, ids: Sequence[str]) -> set[str]:
        """Read the jobs' keys."""
        return self._results.ended(ids)


if __name__ == "__main__":
    serve(Submitter())
