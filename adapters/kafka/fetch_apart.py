"""Let fetches wait on connections of their own, so that nothing else waits behind them."""

import asyncio
import math
from typing import Any

from aiokafka.client import ConnectionGroup
from aiokafka.protocol.fetch import FetchRequest

FETCH_MAX_WAIT_MS = 500
"""How long the broker holds an empty fetch; new data answers it at once, so it costs no latency."""
FETCH_CONNECTIONS_MAX = 4
"""To one broker. What is assigned more often than this within ``FETCH_MAX_WAIT_MS`` waits for an answer."""
FIRST_GROUP = max(ConnectionGroup) + 1


def fetch_apart(consumer: Any) -> None:
    """Send the fetches of a consumer, not started yet, over connections on which nothing waits.

    A broker takes the requests of a connection one after another, each when the one before it is answered,
    and holds a fetch that finds nothing for ``FETCH_MAX_WAIT_MS``. aiokafka 0.14 sends all but what concerns
    its group over one connection. So who asked for an end, or began to read another partition, waited for a
    fetch of the partitions from before, whose answer nobody wanted any more.
    """
    client = consumer._client  # noqa: SLF001
    client.send = _Fetches(client.send).send


class _Fetches:
    """Chooses a connection for each request of one client.

    The first one is enough while what is read stays the same: then the next fetch is sent when the one
    before it was answered.
    """

    def __init__(self, send: Any) -> None:
        self._send = send
        self._free_at_s: dict[tuple[int, int], float] = {}
        """When the broker is through with the last fetch, by broker and connection; infinite: it will say."""

    async def send(self, node_id: int, request: Any, *, group: int = ConnectionGroup.DEFAULT) -> Any:
        """Take the place of ``AIOKafkaClient.send``."""
        if not isinstance(request, FetchRequest):
            return await self._send(node_id, request, group=group)
        sent_s = asyncio.get_running_loop().time()
        place = self._first_free(node_id, sent_s)
        self._free_at_s[place] = math.inf
        free_at_s = sent_s
        try:
            return await self._send(node_id, request, group=place[1])
        except asyncio.CancelledError:
            # Other partitions are to be read; the broker does not know and still holds the fetch.
            free_at_s = sent_s + FETCH_MAX_WAIT_MS / 1000
            raise
        finally:
            self._free_at_s[place] = free_at_s

    def _first_free(self, node_id: int, now_s: float) -> tuple[int, int]:
        places = [(node_id, FIRST_GROUP + number) for number in range(FETCH_CONNECTIONS_MAX)]
        return min(places, key=lambda place: max(now_s, self._free_at_s.get(place, now_s)))
