"""The watch over committed offsets: looks again and again while the scenario runs."""

import asyncio
import contextlib
import math
import threading
import time
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psycopg
from aiokafka.admin import AIOKafkaAdminClient

from adapters.kafka.reader import KafkaReader
from adapters.postgres.refold import read_positions
from core.log import TopicPartition
from penstock.connection import KafkaConnection

LOOK_EVERY_S = 0.25
ASK_TIMEOUT_S = 5.0
STOP_TIMEOUT_S = 30.0
TABLE_TIMEOUT_S = 1.0
TABLE_AGAIN_S = 3.0


class Committed(NamedTuple):
    """Whose offset of what."""

    group: str
    topic: str
    partition: int


class Sighting(NamedTuple):
    """A committed offset that was seen, and in ``OffsetLog.ends`` where the outputs ended just after."""

    offset: int
    look: int


class Fall(NamedTuple):
    """A committed offset that became smaller."""

    key: Committed
    before: int
    after: int


Ends = Mapping[TopicPartition, int]
_UNKNOWN = -1
TABLE = "stage_offsets"
"""Stands for a topic: how far the table is in each partition of the ledger."""


class EndsThen(NamedTuple):
    """Where outputs ended at one look; thousands of them fit, as they share their names."""

    places: Mapping[TopicPartition, int]
    offsets: "array[int]"
    seen_ms: float = -math.inf
    """Wall clock, once the committed offsets of that look were known."""

    def get(self, partition: TopicPartition) -> int | None:
        """Give the end of one output; None when it was not seen at that look."""
        place = self.places.get(partition, len(self.offsets))
        offset = self.offsets[place] if place < len(self.offsets) else _UNKNOWN
        return None if offset == _UNKNOWN else offset

    def had(self, partition: TopicPartition, offset: int, appended_ms: float = math.inf) -> bool:
        """Whether a record was in the log at that look, as far as known.

        A leader that was deposed and has not heard of it answers with an old end: what was appended before
        the look was there, whatever the end.

        Parameters
        ----------
        appended_ms
            Of the record, by the broker's clock; infinite: not known, or not to be trusted.
        """
        end = self.get(partition)
        return end is None or offset < end or appended_ms < self.seen_ms


@dataclass
class OffsetLog:
    """Every change of a committed offset that was seen.

    What a commit rests on is acknowledged before it, so it stands below the ends read after it.

    Attributes
    ----------
    sightings
        Larger each time.
    falls
        What was seen to be smaller than before, and since then not larger again.
    """

    sightings: dict[Committed, list[Sighting]] = field(default_factory=dict)
    falls: list[Fall] = field(default_factory=list)
    ends: list[EndsThen] = field(default_factory=list)
    looks: int = 0
    _places: dict[TopicPartition, int] = field(default_factory=dict)
    _low: dict[Committed, int] = field(default_factory=dict)

    def see(self, committed: Mapping[Committed, int], ends: Ends, seen_ms: float = -math.inf) -> None:
        """Note one look: offsets, and then where the outputs ended."""
        self.looks += 1
        changed = False
        for key, offset in committed.items():
            seen = self.sightings.setdefault(key, [])
            if not seen or seen[-1].offset < offset:
                seen.append(Sighting(offset, len(self.ends)))
                self._low.pop(key, None)
                changed = True
            elif offset < self._low.get(key, seen[-1].offset):
                self.falls.append(Fall(key, self._low.get(key, seen[-1].offset), offset))
                self._low[key] = offset
        if changed:
            for partition in ends:
                self._places.setdefault(partition, len(self._places))
            offsets = array("q", [_UNKNOWN]) * len(self._places)
            for partition, end in ends.items():
                offsets[self._places[partition]] = end
            self.ends.append(EndsThen(self._places, offsets, seen_ms))

    def ends_when_passed(self, key: Committed, offset: int) -> EndsThen | None:
        """Give where the outputs ended when this record was first seen committed; None: never seen."""
        seen = self.sightings.get(key, [])
        index = bisect_right(seen, offset, key=lambda sighting: sighting.offset)
        return self.ends[seen[index].look] if index < len(seen) else None


class TablePositions:
    """Asks how far the table is; a database that does not answer is left alone for a while.

    Parameters
    ----------
    epoch
        Of the topics.
    """

    def __init__(self, conninfo: str, epoch: str) -> None:
        self._conninfo = conninfo
        self._epoch = epoch
        self._connection: psycopg.AsyncConnection[tuple[object, ...]] | None = None
        self._not_before_s = 0.0

    async def read(self) -> dict[int, int]:
        """Give the position of each partition; nothing when nobody answers."""
        if time.monotonic() < self._not_before_s:
            return {}
        try:
            async with asyncio.timeout(TABLE_TIMEOUT_S):
                if self._connection is None:
                    self._connection = await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True)
                return await read_positions(self._connection, self._epoch)
        except (psycopg.Error, TimeoutError, OSError):
            self._not_before_s = time.monotonic() + TABLE_AGAIN_S
            await self.close()
            return {}

    async def close(self) -> None:
        """Let go of the connection, whether the server answers or not."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                await connection.close()


class OffsetWatch:
    """Looks from a thread of its own; a broker that does not answer is asked again.

    Parameters
    ----------
    outputs
        Partitions whose ends are noted with every look.
    """

    def __init__(
        self,
        kafka: KafkaConnection,
        groups: Sequence[str],
        outputs: Iterable[TopicPartition],
        table: TablePositions,
        every_s: float = LOOK_EVERY_S,
    ) -> None:
        self.log = OffsetLog()
        self._kafka = kafka
        self._groups = groups
        self._outputs = list(outputs)
        self._table = table
        self._every_s = every_s
        self._stopping = threading.Event()
        self._looking_away = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._watch()), name="watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> OffsetLog:
        """Look no more, and give what was seen."""
        self._stopping.set()
        self._thread.join(STOP_TIMEOUT_S)
        return self.log

    @contextlib.contextmanager
    def looking_away(self) -> Iterator[None]:
        """Believe no broker for the length of the block; what changed meanwhile is seen after it.

        A leader that does not know it was deposed still says where its log ends.
        """
        self._looking_away.set()
        try:
            yield
        finally:
            self._looking_away.clear()

    async def _watch(self) -> None:
        while not self._stopping.is_set():
            if self._looking_away.is_set():
                await asyncio.sleep(LOOK_EVERY_S)
                continue
            with contextlib.suppress(Exception):
                # Whatever ends the connection, the next one goes on; sightings are facts in themselves.
                await self._look_on()
            await asyncio.sleep(self._every_s)

    async def _look_on(self) -> None:
        admin: Any = AIOKafkaAdminClient(**self._kafka.client_options(), request_timeout_ms=4000)
        reader = KafkaReader(self._kafka, client_id="chaos-watch")
        try:
            await asyncio.wait_for(admin.start(), ASK_TIMEOUT_S)
            await asyncio.wait_for(reader.start(), ASK_TIMEOUT_S)
            while not self._stopping.is_set() and not self._looking_away.is_set():
                await asyncio.wait_for(self._look(admin, reader), ASK_TIMEOUT_S)
                await asyncio.sleep(self._every_s)
        finally:
            await self._table.close()
            await asyncio.wait_for(admin.close(), ASK_TIMEOUT_S)
            await asyncio.wait_for(reader.close(), ASK_TIMEOUT_S)

    async def _look(self, admin: Any, reader: KafkaReader) -> None:
        committed: dict[Committed, int] = {}
        for group in self._groups:
            for place, known in (await admin.list_consumer_group_offsets(group)).items():
                if known.offset >= 0:
                    committed[Committed(group, place.topic, place.partition)] = known.offset
        seen_ms = time.time() * 1000
        # Before the ends, and after what must not be ahead of it.
        rows = {TopicPartition(TABLE, number): at for number, at in (await self._table.read()).items()}
        committed |= {Committed(TABLE, *place): offset for place, offset in rows.items()}
        ends = {**await reader.end_offsets(self._outputs), **rows}
        if not self._looking_away.is_set():
            self.log.see(committed, ends, seen_ms)
