"""Begins a new epoch on the same names: what is over is deleted, and topics made anew.

Every step may be done again, so an interrupted run is completed by the next one. The intent stands in
``control`` first, and until the last step no service starts.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

import msgspec
from aiokafka.admin import NewPartitions
from aiokafka.errors import InvalidPartitionsError, UnknownTopicOrPartitionError, for_code

from adapters.kafka.admin import EpochError, create_topics, ensure_epoch, read_epoch, write_epoch
from adapters.kafka.cluster import describe_topics
from adapters.kafka.groups import GroupInUseError, administering, delete_groups
from core.epoch import Marks, TopicMark
from core.ledger.fold import FIRST_FOLD_VERSION
from penstock.connection import KafkaConnection
from schemas.control import EpochRecord
from schemas.topics import RouteMap

DELETE_TIMEOUT_S = 60.0
SETTLE_TIMEOUT_S = 60.0
BEFORE_MAX = 100
"""Most earlier epochs whose names are kept."""

Report = Callable[[str], None]
"""Told what was done, one step at a time."""


def groups_of_work(routes: RouteMap) -> dict[str, tuple[str, ...]]:
    """Name the groups that read work, with the topics each reads."""
    return {
        routes.group("ingest"): (routes.jobs,),
        routes.group("scheduler"): (routes.gates, routes.workflows, routes.orders, *routes.delays),
        routes.group("prioritizer"): (routes.ready,),
        **{routes.group(f"executor.{pool}"): routes.executions(pool) for pool in routes.pools},
    }


def groups_to_forget(routes: RouteMap) -> tuple[str, ...]:
    """Name the groups whose offsets end with the epoch: all but ingest's, whose topic goes on."""
    work = [group for group in groups_of_work(routes) if group != routes.group("ingest")]
    return (*work, routes.group("dlq_handler"), routes.group("materializer"))


async def begin(
    connection: KafkaConnection, routes: RouteMap, old: EpochRecord | None, partitions: int
) -> EpochRecord:
    """Write down that a new epoch is being made; from here on no service starts on these topics.

    Parameters
    ----------
    routes
        Of the old epoch.
    old
        None when its record is lost.
    partitions
        Of the new epoch.
    """
    kept = {spec.name for spec in routes.specs() if spec.outlives_epoch}
    known = set(old.topics) if old else set()
    view = await describe_topics(connection, {spec.name for spec in routes.specs()} | known)
    gone: dict[str, str] = {}
    if (
        old
        and old.cluster_id == view.cluster_id
        and _id(old.topics, routes.jobs) != _id(view.topics, routes.jobs)
    ):
        gone = {name: mark.id for name, mark in old.topics.items() if name == routes.jobs}
    making = EpochRecord(
        epoch=secrets.token_hex(4),
        partitions=partitions,
        fold_version=FIRST_FOLD_VERSION,
        created_ms=int(time.time() * 1000),
        generation=old.generation + 1 if old else 1,
        cluster_id=view.cluster_id,
        topics={name: mark for name, mark in view.topics.items() if name in kept},
        making=True,
        doomed=gone | {name: mark.id for name, mark in view.topics.items() if name not in kept},
        before=(*old.before, old.epoch)[-BEFORE_MAX:] if old else (),
    )
    await write_epoch(connection, routes, making)
    return making


def _id(topics: Marks, name: str) -> str | None:
    return topics[name].id if name in topics else None


async def give_up(
    connection: KafkaConnection, routes: RouteMap, old: EpochRecord, making: EpochRecord
) -> None:
    """Let the old epoch hold again; only before ``finish`` has deleted anything."""
    await write_epoch(connection, routes, msgspec.structs.replace(old, generation=making.generation + 1))


async def finish(
    connection: KafkaConnection, routes: RouteMap, making: EpochRecord, replication: int, report: Report
) -> EpochRecord:
    """Make the epoch whose intent is written, from wherever an earlier try was interrupted.

    Parameters
    ----------
    routes
        With any partition count; the record's is used.

    Raises
    ------
    EpochError
        A service is running, or the topics changed meanwhile; run it again.
    aiokafka.errors.KafkaError
        The cluster refuses or is away; run it again.
    """
    routes = replace(routes, partitions=making.partitions)
    try:
        # Offsets of a topic that was deleted say nothing of the one that now has its name.
        also = (routes.group("ingest"),) if routes.jobs in making.doomed else ()
        await delete_groups(connection, (*groups_to_forget(routes), *also))
    except GroupInUseError as error:
        raise EpochError(f"{error}: stop all services, then run `penstock epoch new` again") from error
    report("committed offsets of the old epoch removed")
    deleted = await _delete(connection, making)
    report(f"{deleted} topics of the old epoch deleted")
    made = await create_topics(connection, routes.specs(), replication)
    report(f"{made} topics created")
    grown = await _grow(connection, routes)
    if grown:
        report(f"partitions added to {', '.join(grown)}")
    await _write_made(connection, routes, making)
    epoch = await ensure_epoch(connection, routes)
    report(f"epoch {epoch.epoch} holds")
    return epoch


async def _delete(connection: KafkaConnection, making: EpochRecord) -> int:
    """Delete what still has the id it is doomed under; return when all of it is gone."""

    async def left() -> list[str]:
        view = await describe_topics(connection, making.doomed)
        return sorted(name for name, mark in view.topics.items() if mark.id == making.doomed[name])

    async def delete(names: list[str]) -> None:
        async with administering(connection) as admin:
            answer = await admin.delete_topics(names)
        for name, code, *_ in answer.topic_error_codes:
            error = for_code(code)
            if code and error is not UnknownTopicOrPartitionError:
                raise error(f"cannot delete topic {name}")

    return len(await _until_none(left, delete, "topics not deleted", DELETE_TIMEOUT_S))


async def _grow(connection: KafkaConnection, routes: RouteMap) -> list[str]:
    """Add partitions to topics that go on; they may have more than the epoch needs, never fewer."""
    wanted = {spec.name: spec.partitions for spec in routes.specs()}

    async def small() -> list[str]:
        view = await describe_topics(connection, wanted)
        return sorted(name for name, mark in view.topics.items() if mark.partitions < wanted[name])

    async def grow(names: list[str]) -> None:
        async with administering(connection) as admin:
            # A broker may still tell the count from before an earlier try; the controller knows that
            # the partitions are there, and refuses.
            with suppress(InvalidPartitionsError):
                await admin.create_partitions({name: NewPartitions(wanted[name]) for name in names})

    return await _until_none(small, grow, "no partitions added", SETTLE_TIMEOUT_S)


async def _until_none(
    look: Callable[[], Awaitable[list[str]]],
    act: Callable[[list[str]], Awaitable[None]],
    what: str,
    timeout_s: float,
) -> list[str]:
    """Look at topics and act on them until none is seen any more; give those that were seen first."""
    deadline = time.monotonic() + timeout_s
    first = left = await look()
    while left:
        if time.monotonic() > deadline:
            raise EpochError(f"{what} within {timeout_s:.0f} s: {', '.join(left)}")
        await act(left)
        await asyncio.sleep(0.1)
        left = await look()
    return first


async def _write_made(connection: KafkaConnection, routes: RouteMap, making: EpochRecord) -> None:
    topics = await _settled(connection, routes, making)
    for name, mark in topics.items():
        taken_over = making.topics.get(name)
        if taken_over and taken_over.id != mark.id:
            raise EpochError(f"topic {name} changed while the epoch was made: run `penstock epoch new` again")
    made = msgspec.structs.replace(making, topics=topics, making=False, doomed={})
    found = await read_epoch(connection, routes)
    if found is None or found.epoch != making.epoch:
        raise EpochError("somebody else began another epoch meanwhile: look with `penstock epoch show`")
    await write_epoch(connection, routes, made)


async def _settled(
    connection: KafkaConnection, routes: RouteMap, making: EpochRecord
) -> dict[str, TopicMark]:
    """Wait until the brokers know of everything that was done; give the topics then."""
    wanted = {spec.name: spec.partitions for spec in routes.specs()}
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    while True:
        view = await describe_topics(connection, wanted)
        topics = {
            name: mark
            for name, mark in view.topics.items()
            if mark.partitions >= wanted[name] and making.doomed.get(name) != mark.id
        }
        waiting = sorted(wanted.keys() - topics.keys())
        if not waiting:
            return topics
        if time.monotonic() > deadline:
            raise EpochError(f"topics not ready within {SETTLE_TIMEOUT_S:.0f} s: {', '.join(waiting)}")
        await asyncio.sleep(0.1)
