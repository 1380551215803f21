"""Celery on Redis, results in Redis.

Settings, from Celery's documentation:

- ``--pool prefork --concurrency 2``: "Concurrency" of the workers guide; the number of CPUs is the default.
- ``worker_prefetch_multiplier = 128``: the optimizing guide, "Prefetch Limits", for many short tasks.
- ``--without-gossip --without-mingle``: the workers' command line; one worker alone has no use for them.
- One producer for many calls: the calling guide, "Connections".
- Results are kept, for they are where a task's final state is; every other setting is the default.

Run with ``python -m`` it is the driver.
"""

import os
from collections.abc import Sequence

from celery import Celery

from benchmarks.peers.apps.driver import serve
from benchmarks.peers.apps.effects import note, payload
from benchmarks.peers.apps.results import Results

URL = os.environ["PEERS_REDIS"]

app = Celery("peers", broker=URL, backend=URL)
app.conf.worker_prefetch_multiplier = 128


@app.task(name="noop")
def noop(number: int, text: str) -> None:  # noqa: ARG001 - the payload's filling
    """Note that it ran."""
    note(number)


class Submitter:
    """Publishes through one producer."""

    packages = ("celery", "kombu", "redis")

    async def open(self) -> None:
        """Connect."""
        self._results = Results(URL, b'"status": "SUCCESS"')

    async def submit_many(self, numbers: Sequence[int]) -> list[str]:
        """Publish one by one: Celery has no call for many that does the same."""
        with app.producer_pool.acquire(block=True) as producer:
            return [_key(noop.apply_async(kwargs=payload(one), producer=producer)) for one in numbers]

    async def submit(self, number: int) -> str:
        """Publish one; blocks for the time of a request to Redis."""
        return _key(noop.apply_async(kwargs=payload(number)))

    async def ended(self, ids: Sequence[str]) -> set[str]:
        """Ask the result backend."""
        return self._results.ended(ids)


def _key(sent: object) -> str:
    return str(app.backend.get_key_for_task(sent.id).decode())  # type: ignore[attr-defined]


if __name__ == "__main__":
    serve(Submitter())
