"""Is everything over? What a person must see before an epoch may end."""

import time
from collections.abc import Mapping
from contextlib import AsyncExitStack

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as AioTopicPartition

from adapters.kafka.groups import committed_of, members_of
from adapters.kafka.new_epoch import groups_of_work, groups_to_forget
from adapters.kafka.reader import KafkaReader, reading
from core.epoch import Marks, NotDrained
from core.log import Record, TopicPartition
from penstock.connection import KafkaConnection
from ports.gate_snapshots import GateSnapshots
from ports.snapshots import SnapshotReader
from schemas.codec import decode_executor_if_known
from schemas.control import EpochRecord
from schemas.executors import Heartbeat
from schemas.gate_logs import GateLogs
from schemas.ledger import LedgerFolds
from schemas.topics import RouteMap

EXAMPLES = 3
_SERVICES = "services running"
_EXECUTORS = "live executors"
RUNNING = frozenset({_SERVICES, _EXECUTORS})
"""What must be stopped, whatever else may be given up."""
NEWEST_HEARTBEATS = 5000
QUIET_S = 2.0
"""A stretch whose last offsets hold no record (markers of transactions) ends after so long without one."""


async def not_drained(
    connection: KafkaConnection, routes: RouteMap, epoch: EpochRecord, there: Marks
) -> list[NotDrained]:
    """Name what is still under way: services, executors, unread records, jobs; nothing: it is drained.

    Changes nothing. A record that is produced afterwards is not seen.

    Parameters
    ----------
    there
        The topics that are there; a missing one holds nothing.
    """
    async with AsyncExitStack() as stack:
        reader = KafkaReader(connection, client_id="penstock-drained")
        stack.push_async_callback(reader.close)
        await reader.start()
        found = await _services(connection, routes)
        if routes.executors in there:
            found += await _executors(reader, routes)
        found += await _unread(connection, reader, routes, there)
        if routes.ledger in there and routes.snapshots in there:
            found += await _open_jobs(reader, routes, epoch)
        if {routes.ledger, routes.gate_snapshots, routes.workflows, routes.orders} <= set(there):
            found += await _gated_jobs(reader, routes, epoch)
    return found


async def ledger_ends(connection: KafkaConnection, routes: RouteMap) -> dict[int, int]:
    """Give the end of each partition of the ledger."""
    async with reading(connection, client_id="penstock-drained") as reader:
        places = [TopicPartition(routes.ledger, number) for number in range(routes.partitions)]
        return {tp.partition: end for tp, end in (await reader.end_offsets(places)).items()}


async def _services(connection: KafkaConnection, routes: RouteMap) -> list[NotDrained]:
    groups = {*groups_of_work(routes), *groups_to_forget(routes)}
    members = await members_of(connection, groups)
    return [
        NotDrained(_SERVICES, f"in group {group}", len(names), names[:EXAMPLES])
        for group, names in sorted(members.items())
    ]


async def _executors(reader: KafkaReader, routes: RouteMap) -> list[NotDrained]:
    """Find executors whose lease may still be good: one that was stopped has left its group already."""
    place = TopicPartition(routes.executors, 0)
    last: dict[str, tuple[Heartbeat, int]] = {}
    for record in await _stretch(reader, [place], NEWEST_HEARTBEATS):
        message = decode_executor_if_known(record)
        if isinstance(message, Heartbeat):
            last[message.executor] = (message, record.timestamp_ms)
    now_ms = time.time() * 1000
    alive = sorted(
        beat.instance
        for beat, at_ms in last.values()
        if not beat.goodbye and now_ms - at_ms < beat.lease_s * 1000
    )
    return (
        [NotDrained(_EXECUTORS, "by their heartbeats", len(alive), tuple(alive[:EXAMPLES]))] if alive else []
    )


async def _unread(
    connection: KafkaConnection, reader: KafkaReader, routes: RouteMap, there: Marks
) -> list[NotDrained]:
    work = groups_of_work(routes)
    committed = await committed_of(connection, work)
    found: list[NotDrained] = []
    for group, topics in work.items():
        for topic in topics:
            if topic in there:
                places = [TopicPartition(topic, number) for number in range(there[topic].partitions)]
                behind = await _behind(reader, places, committed[group])
                if topic == routes.jobs:
                    behind = await _records_in(connection, behind, committed[group])
                if behind:
                    found.append(_unread_in(topic, group, behind))
    return found


def _unread_in(topic: str, group: str, behind: Mapping[TopicPartition, int]) -> NotDrained:
    examples = tuple(f"partition {tp.partition}: {count}" for tp, count in sorted(behind.items()))
    where = f"in {topic}, not read by {group}"
    return NotDrained("records", where, sum(behind.values()), examples[:EXAMPLES])


async def _behind(
    reader: KafkaReader, places: list[TopicPartition], committed: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """Give how many offsets of each partition stand behind what is committed, where there are any."""
    starts, ends = await reader.start_offsets(places), await reader.end_offsets(places)
    behind = {tp: ends[tp] - max(starts[tp], committed.get(tp, 0)) for tp in places}
    return {tp: count for tp, count in behind.items() if count > 0}


async def _records_in(
    connection: KafkaConnection, behind: Mapping[TopicPartition, int], committed: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """Count what ingest would be given: transactions of producers leave offsets without a record."""
    found: dict[TopicPartition, int] = {}
    for tp in behind:
        consumer = AIOKafkaConsumer(
            **connection.client_options(), enable_auto_commit=False, isolation_level="read_committed"
        )
        await consumer.start()
        try:
            place = AioTopicPartition(*tp)
            start = (await consumer.beginning_offsets([place]))[place]
            consumer.assign([place])
            consumer.seek(place, max(start, committed.get(tp, 0)))
            fetched = await consumer.getmany(timeout_ms=int(QUIET_S * 1000))
        finally:
            await consumer.stop()
        if fetched.get(place):
            found[tp] = behind[tp]
    return found


async def _open_jobs(reader: KafkaReader, routes: RouteMap, epoch: EpochRecord) -> list[NotDrained]:
    """Fold the ledger to its end, from the newest snapshots."""
    folds = LedgerFolds(epoch.epoch, with_notes=False)
    places = [TopicPartition(routes.ledger, number) for number in range(epoch.partitions)]
    ends = {tp.partition: end for tp, end in (await reader.end_offsets(places)).items()}
    store = SnapshotReader(routes, epoch.epoch, reader)
    await store.restore(folds, ends)
    await reader.assign({tp: folds.next_offset(tp.partition) for tp in places})
    while any(folds.next_offset(number) < end for number, end in ends.items()):
        folds.take(await reader.poll(QUIET_S))
    await reader.assign({})
    jobs = [job for number in ends for job in folds.fold(number).open.values()]
    if not jobs:
        return []
    examples = tuple(f"{job.job_id} {job.phase.value}" for job in jobs[:EXAMPLES])
    return [NotDrained("open jobs", "in the ledger", len(jobs), examples)]


async def _gated_jobs(reader: KafkaReader, routes: RouteMap, epoch: EpochRecord) -> list[NotDrained]:
    """Find the jobs with gates that have not ended, among them all that wait for other jobs."""
    logs = GateLogs(routes, epoch.epoch)
    places = [TopicPartition(routes.ledger, number) for number in range(epoch.partitions)]
    await GateSnapshots(routes, epoch.epoch, logs, reader, "").restore(dict.fromkeys(places, 0))
    ends = await reader.end_offsets(places)
    await reader.assign({tp: logs.next_offset(tp) for tp in places})
    while any(logs.next_offset(tp) < end for tp, end in ends.items()):
        for record in await reader.poll(QUIET_S):
            logs.take(record)
    await reader.assign({})
    ids = [job_id for tp in places for job_id in logs.folds(tp.partition).gated.job_ids()]
    return [NotDrained("gated jobs", "not ended", len(ids), tuple(ids[:EXAMPLES]))] if ids else []


async def _stretch(reader: KafkaReader, places: list[TopicPartition], newest: int) -> list[Record]:
    starts, ends = await reader.start_offsets(places), await reader.end_offsets(places)
    await reader.assign({tp: max(starts[tp], ends[tp] - newest) for tp in places})
    records: list[Record] = []
    while any(reader.position(tp) < ends[tp] for tp in places):
        got = await reader.poll(QUIET_S)
        if not got:
            break
        records += got
    await reader.assign({})
    return records
