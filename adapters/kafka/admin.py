"""Topics, the epoch, and the questions only an administrator asks."""

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from adapters.kafka.fold_version import announce_fold_version
from adapters.kafka.reader import KafkaReader
from core.ledger.fold import FIRST_FOLD_VERSION, FOLD_VERSION
from core.log import Record, TopicPartition
from penstock.connection import KafkaConnection
from schemas.codec import decode_control, encode
from schemas.control import EPOCH_KEY, FOLD_VERSION_KEY, EpochRecord, FoldVersionRecord
from schemas.topics import RouteMap, TopicSpec

_CREATE_TIMEOUT_S = 60.0


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
        existing = set(await admin.list_topics())
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


async def ensure_epoch(connection: KafkaConnection, routes: RouteMap) -> EpochRecord:
    """Give the epoch of these topics, writing it first if there is none; then check it.

    Announces the fold version of this code if the ledger is still under an older one: do this when
    every service has been replaced, for those that do not know it stop.

    Raises
    ------
    EpochError
        The topics have another partition count, or are under a newer fold version.
    """
    found = await read_epoch(connection, routes)
    if found is None:
        now_ms = int(time.time() * 1000)
        fresh = EpochRecord(secrets.token_hex(4), routes.partitions, FIRST_FOLD_VERSION, now_ms)
        await _write_epoch(connection, routes, fresh)
        # Two first starts may race; whoever reads takes the first record of the key. The loser writes
        # that one once more, because compaction keeps the last.
        found = await read_epoch(connection, routes)
        if found is not None and found.epoch != fresh.epoch:
            await _write_epoch(connection, routes, found)
    if found is None:
        raise EpochError("the epoch record that was just written cannot be read back; is control trimmed?")
    check_epoch(found, routes)
    if found.fold_version < FOLD_VERSION:
        await announce_fold_version(connection, routes, FOLD_VERSION)
        found = msgspec.structs.replace(found, fold_version=FOLD_VERSION)
    return found


async def require_epoch(connection: KafkaConnection, routes: RouteMap) -> EpochRecord:
    """Give the epoch of topics that must exist already, checked.

    Raises
    ------
    EpochError
        There is none, or it does not fit this configuration.
    """
    found = await read_epoch(connection, routes)
    if found is None:
        raise EpochError(
            f"no epoch record in topic {routes.control}: these topics were never prepared. "
            "Run `penstock up` once, or `python -m adapters.prepare` against this cluster."
        )
    check_epoch(found, routes)
    return found


def check_epoch(epoch: EpochRecord, routes: RouteMap) -> None:
    """Compare the epoch with the configuration.

    Raises
    ------
    EpochError
        With the two values and the remedy.
    """
    if epoch.partitions != routes.partitions:
        raise EpochError(
            f"epoch {epoch.epoch} has {epoch.partitions} partitions but PENSTOCK_PARTITIONS is "
            f"{routes.partitions}. A job's home depends on the count: set it to {epoch.partitions}, "
            "or drain and start a new epoch on new topics."
        )
    if epoch.fold_version > FOLD_VERSION:
        raise EpochError(
            f"the ledger of epoch {epoch.epoch} is under fold version {epoch.fold_version}, this is "
            f"{FOLD_VERSION}: run a Penstock that has it, or drain and start a new epoch."
        )


async def read_epoch(connection: KafkaConnection, routes: RouteMap) -> EpochRecord | None:
    """Read the epoch from ``control``, with the newest fold version announced since.

    None when there is none (or no such topic).
    """
    found: EpochRecord | None = None
    version = FIRST_FOLD_VERSION
    for record in await read_control(connection, routes):
        if record.value is None or record.key not in (EPOCH_KEY, FOLD_VERSION_KEY):
            continue
        match decode_control(record):
            case EpochRecord() as epoch:
                found = found or epoch
            case FoldVersionRecord() as announced:
                version = max(version, announced.version)
            case _:
                pass
    return found and msgspec.structs.replace(found, fold_version=max(version, found.fold_version))


async def read_control(connection: KafkaConnection, routes: RouteMap) -> list[Record]:
    """Read the whole (small, compacted) topic ``control``."""
    reader = KafkaReader(connection, client_id="penstock-control")
    await reader.start()
    try:
        if routes.control not in await reader.topics():
            return []
        control = TopicPartition(routes.control, 0)
        end = (await reader.end_offsets([control]))[control]
        await reader.assign(await reader.start_offsets([control]))
        records: list[Record] = []
        while reader.position(control) < end:
            records += await reader.poll(0.5)
        return records
    finally:
        await reader.close()


async def _write_epoch(connection: KafkaConnection, routes: RouteMap, epoch: EpochRecord) -> None:
    producer: Any = AIOKafkaProducer(**connection.client_options(), acks="all")
    await producer.start()
    try:
        await producer.send_and_wait(routes.control, encode(epoch), key=EPOCH_KEY, partition=0)
    finally:
        await producer.stop()
