"""Appending for people: what one command says, within a time a person waits for."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from adapters.kafka import appender as kafka
from adapters.kafka.appender import KafkaAppender
from core.log import Appended, NewRecord
from penstock.cli.connect import Connections

APPEND_TIMEOUT_S = 30.0


def appending(where: Connections) -> AbstractAsyncContextManager[KafkaAppender]:
    """Open an appender for the life of the block."""
    return kafka.appending(where.kafka, client_id="penstock-cli")


async def appended_of(appender: KafkaAppender, records: Sequence[NewRecord]) -> list[Appended]:
    """Append within a time a person waits for."""
    async with asyncio.timeout(APPEND_TIMEOUT_S):
        return await appender.append(records)


async def append_once(where: Connections, records: Sequence[NewRecord]) -> list[Appended]:
    """Connect, append, and disconnect."""
    async with appending(where) as appender:
        return await appended_of(appender, records)
