"""Announces other rules of the fold, so that every reader changes rules at the same offset."""

from typing import Any

from aiokafka import AIOKafkaProducer

from core.log import NewRecord
from penstock.connection import KafkaConnection
from schemas.codec import encode, fold_version_record
from schemas.control import FOLD_VERSION_KEY, FoldVersionRecord
from schemas.topics import RouteMap


async def announce_fold_version(connection: KafkaConnection, routes: RouteMap, version: int) -> None:
    """Let the rules of ``version`` hold from here on, on every partition of the ledger.

    Services that do not know them stop when they read this, and refuse to start afterwards; there is
    no way back. Repeating it, or doing it twice at once, is harmless: ``control`` is told last, so a
    partition left out by a crash is told by the next try.
    """
    control = NewRecord(routes.control, 0, FOLD_VERSION_KEY, encode(FoldVersionRecord(version)))
    ledger = [fold_version_record(routes, number, version) for number in range(routes.partitions)]
    producer: Any = AIOKafkaProducer(**connection.client_options(), acks="all", enable_idempotence=True)
    await producer.start()
    try:
        for record in (*ledger, control):
            await producer.send_and_wait(
                record.topic,
                record.value,
                key=record.key,
                partition=record.partition,
                headers=list(record.headers),
            )
    finally:
        await producer.stop()
