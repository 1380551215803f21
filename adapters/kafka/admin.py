"""Topics, the epoch, and the questions only an administrator asks."""

import asyncio
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import NodeNotReadyError, TopicAlreadyExistsError, for_code

from adapters.kafka.cluster import ClusterClient, describe_topics
from adapters.kafka.fold_version import announce_fold_version
from adapters.kafka.reader import reading
from core.epoch import Change, ClusterView, differences
from core.ledger.fold import FOLD_VERSION
from core.log import Record, TopicPartition
from penstock.connection import KafkaConnection
from schemas.codec import encode
from schemas.control import EPOCH_KEY, EpochRecord
from schemas.epochs import bound_to, first_epoch, newest_epoch
from schemas.topics import RouteMap, TopicSpec

_CREATE_TIMEOUT_S = 60.0
MISSING_LOOKS = 3
MISSING_LOOK_S = 0.5
NAMED_MAX = 3
"""Most topics one message names."""


class EpochError(Exception):
    """The topics are not the ones this configuration is for; the message names the remedy."""


async def create_topics(connection: KafkaConnection, specs: Sequence[TopicSpec], replication: int) -> int:
    """Create the topics that do not exist yet; give how many were made. Idempotent.

    Raises
    ------
    aiokafka.errors.KafkaError
        The broker refused; the caller stops, a person must look.
    """
    admin: Any = AIOKafkaAdminClient(**connection.client_options())
    await admin.start()
    try:
        existing = await _existing(admin)
        missing = [spec for spec in specs if spec.name not in existing]
        if missing:
            answer = await admin.create_topics([_new_topic(spec, replication) for spec in missing])
            for _, code, *_ in answer.topic_errors:
                error = for_code(code)
                if code and error is not TopicAlreadyExistsError:
                    raise error(f"cannot create topics: {answer.topic_errors}")
        await _until_led(admin, [spec.name for spec in specs])
    finally:
        await admin.close()
    return len(missing)


async def _existing(admin: Any) -> set[str]:
    """List the topics; a broker that has just come back tells of no broker for a moment, not even itself."""
    deadline = time.monotonic() + _CREATE_TIMEOUT_S
    while True:
        try:
            return set(await admin.list_topics())
        except NodeNotReadyError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(MISSING_LOOK_S)


def _new_topic(spec: TopicSpec, replication: int) -> Any:
    config = dict(spec.config)
    if replication >= 3:
        config["min.insync.replicas"] = "2"
    return NewTopic(spec.name, spec.partitions, replication, topic_configs=config)


async def _until_led(admin: Any, names: Sequence[str]) -> None:
    """Wait until every partition has a leader: a topic can be listed before it can be used."""
    deadline = time.monotonic() + _CREATE_TIMEOUT_S
    while True:
        topics = await admin.describe_topics(list(names))
        waiting = [topic["topic"] for topic in topics if not _is_led(topic)]
        if not waiting:
            return
        if time.monotonic() > deadline:
            raise EpochError(f"no leader within {_CREATE_TIMEOUT_S:.0f} s for topics {sorted(waiting)}")
        await asyncio.sleep(0.05)


def _is_led(topic: Mapping[str, Any]) -> bool:
    partitions = topic["partitions"]
    return not topic["error_code"] and bool(partitions) and all(p["leader"] >= 0 for p in partitions)


async def prepare_topics(
    connection: KafkaConnection, routes: RouteMap, replication: int
) -> tuple[int, EpochRecord]:
    """Create the topics that were never there; give how many were made, and the epoch. Idempotent.

    A topic of the epoch that is gone is not made anew: what stood in it would be missed by nobody.

    Raises
    ------
    EpochError
        The topics that are there are not those of the epoch, or not what this configuration is for.
    """
    found = await read_epoch(connection, routes)
    if found is None:
        await _refuse_leftovers(connection, routes)
    else:
        check_epoch(found, routes)
        view = await describe_topics(connection, found.topics.keys() | {routes.control})
        refuse_changes(found, view, found.topics.keys() & {spec.name for spec in routes.specs()})
    made = await create_topics(connection, routes.specs(), replication)
    return made, await ensure_epoch(connection, routes)


async def _refuse_leftovers(connection: KafkaConnection, routes: RouteMap) -> None:
    """Refuse a ledger without an epoch: its jobs would be known under no name."""
    async with reading(connection, client_id="penstock-leftovers") as reader:
        if routes.ledger not in await reader.topics():
            return
        partitions = [TopicPartition(routes.ledger, number) for number in range(routes.partitions)]
        ends = await reader.end_offsets(partitions)
    if any(ends.values()):
        raise EpochError(
            f"topic {routes.ledger} holds records, but no epoch stands in {routes.control}: that topic was "
            "deleted. Restore it, or give up what was under way with `penstock epoch new --abandon`."
        )


async def ensure_epoch(connection: KafkaConnection, routes: RouteMap) -> EpochRecord:
    """Give the epoch of these topics, writing it first if there is none; then check it.

    Binds to it the topics that are not part of it yet. Announces the fold version of this code if the
    ledger is still under an older one: do this when every service has been replaced, for those that
    do not know it stop.

    Raises
    ------
    EpochError
        The topics are other ones, have another partition count, or are under a newer fold version.
    """
    found = await read_epoch(connection, routes)
    if found is None:
        fresh = first_epoch(secrets.token_hex(4), routes.partitions, int(time.time() * 1000))
        await write_epoch(connection, routes, fresh)
        # Two first starts may race; whoever reads takes the first record of the key. The loser writes
        # that one once more, because compaction keeps the last.
        found = await read_epoch(connection, routes)
        if found is not None and found.epoch != fresh.epoch:
            await write_epoch(connection, routes, found)
    if found is None:
        raise EpochError("the epoch record that was just written cannot be read back; is control trimmed?")
    check_epoch(found, routes)
    found = await _bind(connection, routes, found)
    if found.fold_version < FOLD_VERSION:
        await announce_fold_version(connection, routes, FOLD_VERSION)
        found = msgspec.structs.replace(found, fold_version=FOLD_VERSION)
    return found


async def _bind(connection: KafkaConnection, routes: RouteMap, epoch: EpochRecord) -> EpochRecord:
    """Make all topics there are part of the epoch; several may do so at once."""
    specs = {spec.name: spec for spec in routes.specs()}
    view = await describe_topics(connection, specs)
    while missing := view.topics.keys() - epoch.topics.keys():
        refuse_changes(epoch, view, epoch.topics.keys() & specs.keys())
        for name in sorted(missing):
            count, wanted = view.topics[name].partitions, specs[name].partitions
            if count != wanted and epoch.generation == 1:
                raise EpochError(
                    f"topic {name} has {count} partitions, but {wanted} are configured: it was not made by "
                    f"Penstock. Delete it if it holds nothing, or set PENSTOCK_PARTITIONS to {count}."
                )
        await write_epoch(connection, routes, bound_to(epoch, view.cluster_id, dict(view.topics)))
        found = await read_epoch(connection, routes)
        assert found is not None
        epoch = found
    return epoch


async def require_epoch(connection: KafkaConnection, routes: RouteMap) -> EpochRecord:
    """Give the epoch of topics that must exist already, checked.

    Raises
    ------
    EpochError
        There is none, or it does not fit this configuration, or the topics are not its own.
    aiokafka.errors.KafkaError
        No broker answers; try again.
    """
    found = await read_epoch(connection, routes)
    if found is None:
        raise EpochError(
            f"no epoch record in topic {routes.control}: these topics were never prepared, or it was "
            "deleted. Run `penstock up` once, or `python -m adapters.prepare` against this cluster."
        )
    check_epoch(found, routes)
    await _require_topics(connection, routes, found)
    return found


async def _require_topics(connection: KafkaConnection, routes: RouteMap, epoch: EpochRecord) -> None:
    """Look more than once for a topic that is missing: a broker that has just come up may not know it yet."""
    names = [spec.name for spec in routes.specs()]
    client = ClusterClient(connection, client_id="penstock-topics")
    try:
        await client.start()
        for _ in range(MISSING_LOOKS - 1):
            view = await client.describe(names)
            if len(view.topics) == len(names):
                break
            await asyncio.sleep(MISSING_LOOK_S)
        refuse_changes(epoch, await client.describe(names), names)
    finally:
        await client.close()


def refuse_changes(epoch: EpochRecord, view: ClusterView, names: Iterable[str]) -> None:
    """Refuse topics that are not the ones the epoch was made on.

    Raises
    ------
    EpochError
        With what was expected, what was found, and the remedy.
    """
    found = differences(epoch.cluster_id, epoch.topics, view, names, epoch.epoch)
    if found:
        listed = "; ".join(difference.text for difference in found[:NAMED_MAX])
        more = f"; and {len(found) - NAMED_MAX} more" if len(found) > NAMED_MAX else ""
        raise EpochError(f"{listed}{more}. {_REMEDIES[found[0].change]}")


_BEGIN_ANEW = (
    "Nothing was skipped or guessed. Restore the topic, or stop all services and give up what was under way "
    "with `penstock epoch new --abandon`."
)
_PREPARE = (
    "Run `penstock up` or `python -m adapters.prepare` once: it makes and binds what this version needs."
)
_REMEDIES = {
    Change.OTHER_CLUSTER: "Point PENSTOCK_KAFKA_BOOTSTRAP at that one; to go on with a copy for good, stop "
    "all services and begin anew on it with `penstock epoch new --abandon`.",
    Change.MISSING: _BEGIN_ANEW
    + " A topic that is new in this version is made by `python -m adapters.prepare`.",
    Change.RECREATED: _BEGIN_ANEW,
    Change.UNKNOWN: _PREPARE,
    Change.REPARTITIONED: "A job's home depends on the configured count alone: if the partitions were added "
    "on purpose or by mistake and hold nothing, `penstock epoch accept` goes on with them.",
}


def check_epoch(epoch: EpochRecord, routes: RouteMap) -> None:
    """Compare the epoch with the configuration.

    Raises
    ------
    EpochError
        With the two values and the remedy.
    """
    if epoch.making:
        raise EpochError(
            f"epoch {epoch.epoch} is half made: `penstock epoch new` was interrupted. Run it again."
        )
    if epoch.partitions != routes.partitions:
        raise EpochError(
            f"epoch {epoch.epoch} has {epoch.partitions} partitions but PENSTOCK_PARTITIONS is "
            f"{routes.partitions}. A job's home depends on the count: set it to {epoch.partitions}, "
            f"or drain and run `penstock epoch new --partitions {routes.partitions}`."
        )
    if epoch.fold_version > FOLD_VERSION:
        raise EpochError(
            f"the ledger of epoch {epoch.epoch} is under fold version {epoch.fold_version}, this is "
            f"{FOLD_VERSION}: run a Penstock that has it, or drain and run `penstock epoch new`."
        )


async def read_epoch(connection: KafkaConnection, routes: RouteMap) -> EpochRecord | None:
    """Read the epoch from ``control``, with the newest fold version announced since.

    None when there is none (or no such topic).
    """
    return newest_epoch(await read_control(connection, routes))


async def read_control(connection: KafkaConnection, routes: RouteMap) -> list[Record]:
    """Read the whole (small, compacted) topic ``control``."""
    async with reading(connection, client_id="penstock-control") as reader:
        if routes.control not in await reader.topics():
            return []
        control = TopicPartition(routes.control, 0)
        end = (await reader.end_offsets([control]))[control]
        await reader.assign(await reader.start_offsets([control]))
        records: list[Record] = []
        while reader.position(control) < end:
            records += await reader.poll(0.5)
        return records


async def write_epoch(connection: KafkaConnection, routes: RouteMap, epoch: EpochRecord) -> None:
    """Append the record of an epoch; acknowledged when it returns."""
    producer: Any = AIOKafkaProducer(**connection.client_options(), acks="all")
    await producer.start()
    try:
        await producer.send_and_wait(routes.control, encode(epoch), key=EPOCH_KEY, partition=0)
    finally:
        await producer.stop()
