"""The waiting read that readers and group members share."""

import asyncio
from collections.abc import Callable, Iterable

from adapters.memory.broker import MemoryBroker
from core.log import Record, TopicPartition
from ports.log import OffsetOutOfRangeError


def read_some(
    broker: MemoryBroker, positions: dict[TopicPartition, int], wanted: Iterable[TopicPartition], limit: int
) -> list[Record]:
    """Give up to ``limit`` records and move the positions behind them.

    A partition that was read goes to the end of ``positions``, so that a busy one starves none.

    Raises
    ------
    OffsetOutOfRangeError
        A position is outside the log, and nothing was read before that was found.
    """
    if broker.faults.is_away:
        return []
    records: list[Record] = []
    for partition in list(wanted):
        try:
            found = broker.read(partition, positions[partition], limit - len(records))
        except OffsetOutOfRangeError:
            if not records:
                raise
            break
        if found:
            records.extend(found)
            del positions[partition]
            positions[partition] = found[-1].offset + 1
        if len(records) >= limit:
            break
    return records


async def poll_until(
    broker: MemoryBroker, look: Callable[[], list[Record]], timeout_s: float
) -> list[Record]:
    """Look until there are records or the time is over; always lets other tasks run once."""
    await asyncio.sleep(0)
    deadline_s = asyncio.get_running_loop().time() + timeout_s
    while True:
        records = look()
        left_s = deadline_s - asyncio.get_running_loop().time()
        if records or left_s <= 0 or not await broker.changed(left_s):
            return records
