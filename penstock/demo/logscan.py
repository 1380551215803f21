"""Reading stretches of topics back: the log, not a client's memory, says what was sent."""

from collections.abc import Mapping, Sequence

from core.log import Record, TopicPartition
from penstock.demo.plan import RUN_HEADER, SUBMISSION_HEADER
from ports.log import PartitionReader

_POLL_S = 1.0


async def read_between(
    reader: PartitionReader, starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> list[Record]:
    """Give all records from ``starts`` up to (not including) ``ends``, in order within each partition.

    Waits for as long as the broker is away; bound it from outside. The reader is left assigned to
    nothing.
    """
    wanted = {partition: start for partition, start in starts.items() if start < ends[partition]}
    await reader.assign(wanted)
    records: list[Record] = []
    while any(reader.position(partition) < ends[partition] for partition in wanted):
        polled = await reader.poll(_POLL_S)
        records += [r for r in polled if r.offset < ends[TopicPartition(r.topic, r.partition)]]
    await reader.assign({})
    return records


def submissions_of(records: Sequence[Record], run_id: str) -> list[tuple[int, Record]]:
    """Pick the records of one run; gives ``(place in the plan, record)``, repeated appends included."""
    wanted = run_id.encode()
    found: list[tuple[int, Record]] = []
    for record in records:
        submission = record.header(SUBMISSION_HEADER)
        if submission is not None and record.header(RUN_HEADER) == wanted:
            found.append((int(submission), record))
    return found


def partitions_of(topic: str, count: int) -> list[TopicPartition]:
    """Give all partitions of a topic."""
    return [TopicPartition(topic, partition) for partition in range(count)]
