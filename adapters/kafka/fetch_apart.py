"""Let fetches wait on connections of their own: nothing else waits behind them, and they may wait long."""

import asyncio
import math
from collections.abc import Collection
from typing import Any, NamedTuple

from aiokafka import TopicPartition as AioTopicPartition
from aiokafka.client import ConnectionGroup
from aiokafka.protocol.fetch import FetchRequest

FETCH_MAX_WAIT_MS = 500
"""How long the broker holds an empty fetch; new data answers it at once, so it costs no latency."""
QUIET_FETCH_MAX_WAIT_MS = 4_000
"""Where nothing moves, each fetch is held twice as long as the one before, up to this: an idle client costs
what it asks. Less than half of the time after which a request is given up."""
FETCH_LOOK_MS = 1_000
"""aiokafka looks so often whether there is something to fetch although nothing has happened."""
FETCH_CONNECTIONS_MAX = 4
"""To one broker. What is assigned more often than this within ``FETCH_MAX_WAIT_MS`` waits for an answer."""
FIRST_GROUP = max(ConnectionGroup) + 1


class _InFlight(NamedTuple):
    """A fetch the broker has not answered."""

    task: "asyncio.Task[Any] | None"
    asked: frozenset[tuple[str, int]]


class Fetches:
    """Chooses, for each request of one client, the connection, and how long the broker may hold a fetch.

    A broker takes the requests of a connection one after another, each when the one before it is answered,
    and holds a fetch that finds nothing. aiokafka 0.14 sends all but what concerns its group over one
    connection, and one fetch to a broker at a time. So who asked for an end, or began to read another
    partition, waited for a fetch of the partitions from before, whose answer nobody wanted any more.

    The first connection is enough while what is read stays the same: then the next fetch is sent when the one
    before it was answered.

    Parameters
    ----------
    consumer
        Not started yet.
    """

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        client = consumer._client  # noqa: SLF001
        self._send = client.send
        client.send = self.send
        self._free_at_s: dict[tuple[int, int], float] = {}
        """When the broker is through with the last fetch, by broker and connection; infinite: it will say."""
        self._in_flight: dict[tuple[int, int], _InFlight] = {}
        self._last: dict[int, tuple[list[Any], int]] = {}
        """What a broker was last asked and did not answer with anything, and how long it might hold that."""

    async def send(self, node_id: int, request: Any, *, group: int = ConnectionGroup.DEFAULT) -> Any:
        """Take the place of ``AIOKafkaClient.send``."""
        if not isinstance(request, FetchRequest):
            return await self._send(node_id, request, group=group)
        sent_s = asyncio.get_running_loop().time()
        wait_ms = request._max_wait_ms = self._wait_ms(node_id, request)  # noqa: SLF001
        place = self._first_free(node_id, sent_s)
        asked = frozenset((topic, number) for topic, lanes in request.topics for number, *_ in lanes)
        self._in_flight[place] = _InFlight(asyncio.current_task(), asked)
        self._free_at_s[place] = math.inf
        free_at_s = sent_s
        try:
            return await self._send(node_id, request, group=place[1])
        except asyncio.CancelledError:
            # Something else is to be read; the broker does not know and still holds the fetch.
            free_at_s = sent_s + wait_ms / 1000
            self._last.pop(node_id, None)
            raise
        finally:
            self._free_at_s[place] = free_at_s
            del self._in_flight[place]

    def look_again(self, partitions: Collection[tuple[str, int]]) -> None:
        """Fetch anew at once where the fetch under way does not ask for one of these, now to be read."""
        for (node_id, _), one in list(self._in_flight.items()):
            if one.task is not None and self._misses(node_id, one, partitions):
                one.task.cancel()

    def _misses(self, node_id: int, one: _InFlight, partitions: Collection[tuple[str, int]]) -> bool:
        missing = {AioTopicPartition(*tp) for tp in partitions if tp not in one.asked}
        if not missing:
            return False
        leader_of = self._consumer._client.cluster.leader_for_partition  # noqa: SLF001
        return any(leader_of(tp) == node_id for tp in missing - self._consumer.paused())

    def _wait_ms(self, node_id: int, request: FetchRequest) -> int:
        """Give how long the broker may hold this: longer than before if nothing has moved since."""
        asked = sorted((topic, sorted(lanes)) for topic, lanes in request.topics)
        before, waited_ms = self._last.get(node_id, ([], 0))
        wait_ms = min(2 * waited_ms, QUIET_FETCH_MAX_WAIT_MS) if asked == before else FETCH_MAX_WAIT_MS
        self._last[node_id] = (asked, wait_ms)
        return wait_ms

    def _first_free(self, node_id: int, now_s: float) -> tuple[int, int]:
        places = [(node_id, FIRST_GROUP + number) for number in range(FETCH_CONNECTIONS_MAX)]
        return min(places, key=lambda place: max(now_s, self._free_at_s.get(place, now_s)))
