"""What ``penstock why`` asks of the log, where the table does not know; each reads a bounded stretch."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from adapters.kafka.groups import committed_of
from adapters.kafka.reader import KafkaReader
from core.buckets import BUCKETS
from core.gates.order_gate import key_text
from core.ledger.notes import Note
from core.log import Record, TopicPartition
from penstock.cli.connect import Connections
from penstock.cli.holds import held_folds
from penstock.cli.order import order_gates
from penstock.cli.reading import partitions_of, reading, require_topics
from penstock.cli.times import ms_of
from penstock.identity import gate_home, home
from schemas.accepted_job import FailedAttempt
from schemas.codec import decode_failed, decode_if_note, decode_queued
from schemas.held import held_for_of

POLL_S = 0.5
HEADS_WITHIN_S = 10.0
SCAN_MAX = 20_000
"""Records of one partition that are read to find a job's place among the held ones."""


class KeyPlace(NamedTuple):
    """A job at its ordering key."""

    holder: str | None
    """The job the key is busy with; None: it is idle."""
    blocks: bool
    """The holder is dead, and blocks the key."""
    before: int | None
    """How many wait before the job; None: it does not wait there."""
    behind: tuple[tuple[str, int, int | None], ...]
    """Those that wait behind it, or for it when it is the holder: id, priority, deadline (ms since 1970)."""


class HeldPlace(NamedTuple):
    """A job among those held for the same."""

    in_all: int
    before: int | None
    """Before it in its partition; None: it was not found there."""
    in_partition: int


class Heads(NamedTuple):
    """Ready times of the first dispatches that executors have not handled, over a bucket's partitions."""

    oldest: datetime
    newest: datetime


async def lane_heads(where: Connections, pool: str) -> dict[int, Heads]:
    """Give, by bucket, where the executors are; a bucket that is missing holds nothing for them."""
    routes = where.routes
    topics = {routes.execution(pool, bucket): bucket for bucket in range(BUCKETS)}
    await require_topics(where.kafka, topics)
    group = routes.group(f"executor.{pool}")
    committed = (await committed_of(where.kafka, [group]))[group]
    lanes = [place for topic in topics for place in partitions_of(topic, routes.partitions)]
    async with reading(where.kafka) as reader:
        starts, ends = await reader.start_offsets(lanes), await reader.end_offsets(lanes)
        begin = {lane: max(committed.get(lane, 0), starts[lane]) for lane in lanes}
        firsts = await _first_records(reader, {lane: at for lane, at in begin.items() if at < ends[lane]})
    heads: dict[int, Heads] = {}
    for record in firsts:
        ready = datetime.fromtimestamp(decode_queued(record).ready_ms / 1000, UTC)
        known = heads.get(topics[record.topic], Heads(ready, ready))
        heads[topics[record.topic]] = Heads(min(ready, known.oldest), max(ready, known.newest))
    return heads


async def _first_records(reader: KafkaReader, begin: Mapping[TopicPartition, int]) -> list[Record]:
    found: dict[TopicPartition, Record] = {}
    give_up_s = time.monotonic() + HEADS_WITHIN_S
    await reader.assign(begin)
    while len(found) < len(begin):
        if time.monotonic() > give_up_s:
            raise TimeoutError(f"the heads of {len(begin) - len(found)} lanes could not be read in time")
        for record in await reader.poll(POLL_S, max_records=500):
            lane = TopicPartition(record.topic, record.partition)
            if lane not in found:
                found[lane] = record
                reader.pause([lane])
    return list(found.values())


async def key_place(where: Connections, job: Mapping[str, Any]) -> KeyPlace:
    """Find a job at its ordering key."""
    tenant, key = job["tenant"], job["ordering_key"]
    (gate,) = await order_gates(where, [gate_home(tenant, key, partitions=where.routes.partitions)])
    name = key_text(tenant, key)
    holder, waiting = gate.holder(name), gate.waiting(name)
    ids = [entry.job_id for entry in waiting]
    place = ids.index(job["job_id"]) if job["job_id"] in ids else None
    behind = waiting if place is None else waiting[place + 1 :]
    return KeyPlace(
        None if holder is None else holder.entry.job_id,
        holder is not None and holder.blocks,
        place,
        tuple((one.job_id, one.urgency.priority, one.urgency.deadline_ms) for one in behind),
    )


async def held_place(where: Connections, job_id: str, held_for: str) -> HeldPlace:
    """Find a job among those held for the same; they are handed on in this order, partition by partition."""
    routes = where.routes
    folds = await held_folds(where)
    number = home(job_id, routes.partitions)
    counts = {partition: fold.counts().get(held_for, 0) for partition, fold in folds.items()}
    first = folds[number].next_of(held_for, 0)
    before = None
    if first is not None:
        lane = TopicPartition(routes.held, number)
        before = await _held_before(where, lane, first.first, folds[number].next_offset, job_id, held_for)
    return HeldPlace(sum(counts.values()), before, counts[number])


async def _held_before(
    where: Connections, lane: TopicPartition, first: int, end: int, job_id: str, held_for: str
) -> int | None:
    before, scanned = 0, 0
    async with reading(where.kafka) as reader:
        await reader.assign({lane: first})
        while reader.position(lane) < end and scanned < SCAN_MAX:
            records = await reader.poll(POLL_S)
            if not records:
                break
            for record in records:
                if held_for_of(record) != held_for:
                    continue
                if record.key == job_id.encode():
                    return before
                before += 1
            scanned += len(records)
    return None


async def letter(where: Connections, job_id: str, offset: int) -> FailedAttempt | None:
    """Give what stands in ``jobs.dlq`` of a failed dispatch, while it is not trimmed."""
    lane = TopicPartition(where.routes.dlq, home(job_id, where.routes.partitions))
    async with reading(where.kafka) as reader:
        if offset < (await reader.start_offsets([lane]))[lane]:
            return None
        await reader.assign({lane: offset})
        for record in await reader.poll(POLL_S * 4, max_records=1):
            if record.offset == offset and record.key == job_id.encode():
                return decode_failed(record)
    return None


async def last_note(where: Connections, job_id: str, at: datetime) -> Note | None:
    """Give the note about a job that was appended to the ledger at this instant; None: there is none."""
    lane = TopicPartition(where.routes.ledger, home(job_id, where.routes.partitions))
    at_ms = ms_of(at)
    found: Note | None = None
    async with reading(where.kafka) as reader:
        offset = await reader.offset_at(lane, at_ms)
        end = (await reader.end_offsets([lane]))[lane]
        if offset is None:
            return None
        await reader.assign({lane: offset})
        while reader.position(lane) < end:
            for record in await reader.poll(POLL_S):
                if record.timestamp_ms > at_ms:
                    return found
                if record.key == job_id.encode():
                    found = decode_if_note(record) or found
    return found
