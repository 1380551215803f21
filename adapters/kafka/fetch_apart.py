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
"""Where nothing moves, each fetch of all there is to read is held twice as long as the one before, up to
this: an idle client costs what it asks. Less than half of the time after which a request is given up."""
PARTIAL_FETCH_MAX_WAIT_MS = 50
"""How long a fetch is held that leaves out a partition whose records are just being taken out; at first also
one that leaves out a paused one. It is soon wanted no more, and takes its connection until it ends."""
FETCH_LOOK_MS = 1_000
"""aiokafka looks so often whether there is something to fetch although nothing has happened."""
FETCH_CONNECTIONS_MAX = 4
"""To one broker. What is begun to be read while it holds a fetch nobody wants on each waits for the first."""
FIRST_GROUP = max(ConnectionGroup) + 1


_Asked = Mapping[tuple[str, int], int]
"""Where from a fetch asks for each partition."""


class _InFlight(NamedTuple):
    """A fetch that has no answer yet."""

    task: "asyncio.Task[Any]"
    asked: _Asked


class _Last(NamedTuple):
    """The fetch before: what it asked for, how long it might be held, when it was answered."""

    asked: _Asked
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
        """After an answer with records, send the next fetch of the same partitions no sooner than this.

        More come at once then. 0 sends what waits now. The first record after a silence comes at once either
        way.
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
            wait_ms = request._max_wait_ms = self._wait_ms(node_id, last, asked)  # noqa: SLF001
            answer = await self._fetch(node_id, request, wait_ms / 1000)
        finally:
            self._in_flight.pop(node_id, None)
        self._last[node_id] = _Last(asked, wait_ms, asyncio.get_running_loop().time())
        return answer

    def look_again(self, partitions: Collection[tuple[str, int]]) -> None:
        """Fetch anew at once where the fetch under way does not ask for one of these, now to be read.

        Unless all connections are taken: then it ends by itself first.
        """
        now_s = asyncio.get_running_loop().time()
        for node_id, one in self._in_flight.items():
            is_free = any(self._begins_s(place, now_s) == now_s for place in _places(node_id))
            if is_free and any(self._is_missing(node_id, one.asked, tp) for tp in partitions):
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
            # Not ``wait_for``: before Python 3.12 it may lose that the fetch is given up.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._at_once.wait()

    async def _fetch(self, node_id: int, request: FetchRequest, wait_s: float) -> Any:
        sent_s = asyncio.get_running_loop().time()
        place = min(_places(node_id), key=lambda place: self._begins_s(place, sent_s))
        free_at_s = begun_s = self._begins_s(place, sent_s)
        self._free_at_s[place] = math.inf
        try:
            return await self._send(node_id, request, group=place[1])
        except asyncio.CancelledError:
            # Something else is to be read; the broker does not know and still holds the fetch.
            free_at_s = begun_s + wait_s
            raise
        finally:
            self._free_at_s[place] = free_at_s

    def _begins_s(self, place: tuple[int, int], sent_s: float) -> float:
        """Give when the broker begins with a fetch that is sent over this connection now."""
        return max(sent_s, self._free_at_s.get(place, sent_s))

    def _wait_ms(self, node_id: int, last: _Last | None, asked: _Asked) -> int:
        """Give how long the broker may hold a fetch: longer than the one before if nothing has moved since.

        Never long if it does not ask for all there is: the rest may have to be read any time.
        """
        assignment = self._assignment()
        partitions = () if assignment is None else assignment.tps
        if any(self._is_missing(node_id, asked, tp) for tp in partitions):
            return PARTIAL_FETCH_MAX_WAIT_MS
        first, most = FETCH_MAX_WAIT_MS, QUIET_FETCH_MAX_WAIT_MS
        if self._consumer.paused():
            first, most = PARTIAL_FETCH_MAX_WAIT_MS, FETCH_MAX_WAIT_MS
        return first if last is None or last.asked != asked else min(2 * last.wait_ms, most)

    def _is_missing(self, node_id: int, asked: _Asked, partition: tuple[str, int]) -> bool:
        """Whether a fetch from this broker should ask for a partition, and does not or from elsewhere."""
        assignment, tp = self._assignment(), AioTopicPartition(*partition)
        state = None if assignment is None else assignment.state_value(tp)
        if state is None or state.paused or not state.has_valid_position:
            return False
        if asked.get(partition) == state.position:
            return False
        return bool(self._consumer._client.cluster.leader_for_partition(tp) == node_id)  # noqa: SLF001

    def _assignment(self) -> Any:
        subscription = self._consumer._subscription.subscription  # noqa: SLF001
        return None if subscription is None else subscription.assignment


def _places(node_id: int) -> list[tuple[int, int]]:
    return [(node_id, FIRST_GROUP + number) for number in range(FETCH_CONNECTIONS_MAX)]
