"""Dramatiq on Redis, results in Redis.

Settings, from Dramatiq's documentation:

- ``--processes 2 --threads 8``: the command line's defaults on 2 cores.
- ``Results`` with ``RedisBackend``, "the recommended result backend": the guide, "Message Results"; a result
  says that a message was processed.
- Messages one by one: the Redis broker has no call for many.
- hiredis is installed, as redis-py's documentation recommends for speed.

Run with ``python -m`` it is the driver.
"""

import os
from collections.abc import Sequence

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results as Kept
from dramatiq.results.backends import RedisBackend

from benchmarks.peers.apps.driver import serve
from benchmarks.peers.apps.effects import note, payload
from benchmarks.peers.apps.results import Results

URL = os.environ["PEERS_REDIS"]
WELL = b"null"
"""The result of a task that returns nothing, as JSON."""

broker = RedisBroker(url=URL)
backend = RedisBackend(url=URL)
broker.add_middleware(Kept(backend=backend))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def noop(number: int, text: str) -> None:  # noqa: ARG001 - the payload's filling
    """Note that it ran."""
    note(number)


class Submitter:
    """Enqueues one by one."""

    packages = ("dramatiq", "redis", "hiredis")

    async def open(self) -> None:
        """Connect."""
        self._results = Results(URL, WELL)

    async def submit_many(self, numbers: Sequence[int]) -> list[str]:
        """Enqueue one after the other."""
        return [_enqueue(number) for number in numbers]

    async def submit(self, number: int) -> str:
        """Enqueue one; blocks for the time of a request to Redis."""
        return _enqueue(number)

    async def ended(self, ids: Sequence[str]) -> set[str]:
        """Ask the result backend."""
        return self._results.ended_in_lists(ids)


def _enqueue(number: int) -> str:
    return str(backend.build_message_key(noop.send_with_options(kwargs=payload(number))))


if __name__ == "__main__":
    serve(Submitter())
