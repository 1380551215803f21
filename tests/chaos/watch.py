"""The watch over committed offsets: looks again and again while the scenario runs."""

import asyncio
import contextlib
import threading
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient

from adapters.kafka.reader import KafkaReader
from core.log import TopicPartition
from penstock.connection import KafkaConnection

LOOK_EVERY_S = 0.25
ASK_TIMEOUT_S = 5.0
STOP_TIMEOUT_S = 30.0


class Committed(NamedTuple):
    """Whose offset of what."""

    group: str
    topic: str
    partition: int


class Sighting(NamedTuple):
    """A committed offset that was seen, and in ``OffsetLog.ends`` where the outputs ended just after."""

    offset: int
    look: int


Ends = Mapping[TopicPartition, int]


@dataclass
class OffsetLog:
    """Every change of a committed offset that was seen.

    What a commit rests on is acknowledged before it, so it stands below the ends read after it.
    """

    sightings: dict[Committed, list[Sighting]] = field(default_factory=dict)
    ends: list[Ends] = field(default_factory=list)
    looks: int = 0

    def see(self, committed: Mapping[Committed, int], ends: Ends) -> None:
        """Note one look: offsets, and then where the outputs ended."""
        self.looks += 1
        changed = False
        for key, offset in committed.items():
            seen = self.sightings.setdefault(key, [])
            if not seen or seen[-1].offset != offset:
                seen.append(Sighting(offset, len(self.ends)))
                changed = True
        if changed:
            self.ends.append(dict(ends))

    def ends_when_passed(self, key: Committed, offset: int) -> Ends | None:
        """Give where the outputs ended when this record was first seen committed; None: never seen."""
        seen = self.sightings.get(key, [])
        index = bisect_right(seen, offset, key=lambda sighting: sighting.offset)
        return self.ends[seen[index].look] if index < len(seen) else None


class OffsetWatch:
    """Looks from a thread of its own; a broker that does not answer is asked again.

    Parameters
    ----------
    outputs
        Partitions whose ends are noted with every look.
    """

    def __init__(
        self, kafka: KafkaConnection, groups: Sequence[str], outputs: Iterable[TopicPartition]
    ) -> None:
        self.log = OffsetLog()
        self._kafka = kafka
        self._groups = groups
        self._outputs = list(outputs)
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
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look_on(self) -> None:
        admin: Any = AIOKafkaAdminClient(**self._kafka.client_options(), request_timeout_ms=4000)
        reader = KafkaReader(self._kafka, client_id="chaos-watch")
        try:
            await asyncio.wait_for(admin.start(), ASK_TIMEOUT_S)
            await asyncio.wait_for(reader.start(), ASK_TIMEOUT_S)
            while not self._stopping.is_set() and not self._looking_away.is_set():
                await asyncio.wait_for(self._look(admin, reader), ASK_TIMEOUT_S)
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            await asyncio.wait_for(admin.close(), ASK_TIMEOUT_S)
            await asyncio.wait_for(reader.close(), ASK_TIMEOUT_S)

    async def _look(self, admin: Any, reader: KafkaReader) -> None:
        committed: dict[Committed, int] = {}
        for group in self._groups:
            for place, known in (await admin.list_consumer_group_offsets(group)).items():
                if known.offset >= 0:
                    committed[Committed(group, place.topic, place.partition)] = known.offset
        ends = await reader.end_offsets(self._outputs)
        if not self._looking_away.is_set():
            self.log.see(committed, ends)
