"""Let fetches wait on connections of their own: nothing else waits behind them, and they may wait long."""

import asyncio
import contextlib
import math
from collections.abc import Collection, Mapping
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
    """A fetch that has no answer yet."""

    task: "asyncio.Task[Any]"
    asked: Mapping[tuple[str, int], int]


class _Last(NamedTuple):
    """The fetch before: where from it was to read, how long it might be held, when it was answered."""

    asked: Mapping[tuple[str, int], int]
    wait_ms: int
    answered_s: float


class Fetches:
    """Chooses when and over which connection a client fetches, and how long the broker may hold that.

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
        self._in_flight: dict[int, _InFlight] = {}
        self._last: dict[int, _Last] = {}
        self._gather_s = 0.0
        self._at_once = asyncio.Event()

    def gather(self, seconds: float) -> None:
        """Send no fetch sooner after an answer with records than this, so that more come at once.

        0 sends what waits now. The first record after a silence comes at once either way.
        """
        self._gather_s = seconds
        if seconds:
            self._at_once.clear()
        else:
            self._at_once.set()

    async def send(self, node_id: int, request: Any, *, group: int = ConnectionGroup.DEFAULT) -> Any:
        """Take the place of ``AIOKafkaClient.send``."""
        if not isinstance(request, FetchRequest):
            return await self._send(node_id, request, group=group)
        asked = {(topic, number): start for topic, lanes in request.topics for number, start, _ in lanes}
        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(self._noticed)
        self._in_flight[node_id] = _InFlight(task, asked)
        last = self._last.pop(node_id, None)
        try:
            if last is not None and last.asked != asked and last.asked.keys() == asked.keys():
                await self._gathered(last.answered_s)
            wait_ms = request._max_wait_ms = _wait_ms(last, asked)  # noqa: SLF001
            answer = await self._fetch(node_id, request, wait_ms / 1000)
        finally:
            self._in_flight.pop(node_id, None)
        self._last[node_id] = _Last(asked, wait_ms, asyncio.get_running_loop().time())
        return answer

    def look_again(self, partitions: Collection[tuple[str, int]]) -> None:
        """Fetch anew at once where the fetch under way does not ask for one of these, now to be read."""
        for node_id, one in self._in_flight.items():
            if self._misses(node_id, one, partitions):
                one.task.cancel()

    def _noticed(self, task: "asyncio.Task[Any]") -> None:
        """Let aiokafka look again when it looked after a fetch had ended and before it knew.

        What it notes at the end of a fetch comes a turn of the loop later. Woken by anything else in that
        turn, it takes the broker for busy, and the fetch for none of those it waits for.
        """
        fetcher = self._consumer._fetcher  # noqa: SLF001
        if task not in fetcher._pending_tasks:  # noqa: SLF001
            fetcher._notify(fetcher._wait_consume_future)  # noqa: SLF001

    async def _gathered(self, answered_s: float) -> None:
        wait_s = answered_s + self._gather_s - asyncio.get_running_loop().time()
        if wait_s > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._at_once.wait(), wait_s)

    async def _fetch(self, node_id: int, request: FetchRequest, wait_s: float) -> Any:
        sent_s = asyncio.get_running_loop().time()
        place = self._first_free(node_id, sent_s)
        self._free_at_s[place] = math.inf
        free_at_s = sent_s
        try:
            return await self._send(node_id, request, group=place[1])
        except asyncio.CancelledError:
            # Something else is to be read; the broker does not know and still holds the fetch.
            free_at_s = sent_s + wait_s
            raise
        finally:
            self._free_at_s[place] = free_at_s

    def _misses(self, node_id: int, one: _InFlight, partitions: Collection[tuple[str, int]]) -> bool:
        missing = {AioTopicPartition(*tp) for tp in partitions if tp not in one.asked}
        if not missing:
            return False
        leader_of = self._consumer._client.cluster.leader_for_partition  # noqa: SLF001
        return any(leader_of(tp) == node_id for tp in missing - self._consumer.paused())

    def _first_free(self, node_id: int, now_s: float) -> tuple[int, int]:
        places = [(node_id, FIRST_GROUP + number) for number in range(FETCH_CONNECTIONS_MAX)]
        return min(places, key=lambda place: max(now_s, self._free_at_s.get(place, now_s)))


def _wait_ms(last: _Last | None, asked: Mapping[tuple[str, int], int]) -> int:
    """Give how long the broker may hold a fetch: longer than the one before if nothing has moved since."""
    if last is None or last.asked != asked:
        return FETCH_MAX_WAIT_MS
    return min(2 * last.wait_ms, QUIET_FETCH_MAX_WAIT_MS)
