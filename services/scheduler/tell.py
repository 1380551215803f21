"""Write down who passed the id gates, beside the work, so that the gates' log can be trimmed."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from core.gates.id_gate import IdGate
from core.log import TopicPartition
from ports.log import Appender, GroupMember
from ports.passages import PassageLog
from ports.stage import stopped_within

TURN_S = 1.0


@dataclass(frozen=True, slots=True)
class TellRule:
    """When passages are written: after so many records of a gate, or so long."""

    every_records: int
    every_s: float

    def is_due(self, records: int, elapsed_s: float) -> bool:
        """Say so, given the records and the time since the last time."""
        return records >= self.every_records or (records > 0 and elapsed_s >= self.every_s)


class Teller:
    """Writes the passages of owned gates as far as their hand-over is committed.

    Two that think they own a gate write the same passages twice, in stretches of their own.
    """

    def __init__(
        self,
        passages: PassageLog,
        appender: Appender,
        member: GroupMember,
        gate_of: Callable[[int], IdGate],
        topic: str,
        rule: TellRule,
        now_s: Callable[[], float],
    ) -> None:
        self._passages = passages
        self._appender = appender
        self._member = member
        self._gate_of = gate_of
        self._topic = topic
        self._rule = rule
        self._now_s = now_s
        self._last_s: dict[int, float] = {}

    async def run(self, stopping: asyncio.Event) -> None:
        """Look at the gates until ``stopping``."""
        while not stopping.is_set():
            await self.turn()
            await stopped_within(stopping, TURN_S)

    async def turn(self) -> None:
        """Write what is due."""
        for partition in sorted(self._member.assignment.partitions):
            gate, now_s = self._gate_of(partition), self._now_s()
            last_s = self._last_s.setdefault(partition, now_s)
            until = min(self._member.committed(TopicPartition(self._topic, partition)), gate.next_offset)
            if self._rule.is_due(until - gate.told, now_s - last_s):
                await self._passages.tell(self._appender, partition, gate, until)
                self._last_s[partition] = now_s


async def begin_at_passages(
    passages: PassageLog,
    gate_of: Callable[[int], IdGate],
    topic: str,
    committed: Mapping[TopicPartition, int],
) -> None:
    """Teach gates what passed before; their fold goes on from there."""
    for place, offset in committed.items():
        if place.topic == topic and gate_of(place.partition).next_offset < offset:
            await passages.teach(place.partition, gate_of(place.partition))
