"""The newest record of a partition that is compacted, so that one reading says all."""

from core.log import Record, TopicPartition
from ports.log import PartitionReader

POLL_S = 0.5


async def last_record(reader: PartitionReader, place: TopicPartition) -> Record | None:
    """Give the last record of a partition; None when there was never one.

    Compaction never removes the last one. The reader is used for this alone meanwhile.
    """
    end = (await reader.end_offsets([place]))[place]
    if not end:
        return None
    try:
        await reader.assign({place: end - 1})
        while True:
            for record in await reader.poll(POLL_S):
                return record
    finally:
        await reader.assign({})
