"""How far a consumer group has come, asked without being its member."""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from adapters.kafka.reader import KafkaReader
from core.log import TopicPartition
from core.stealing import Progress
from penstock.connection import KafkaConnection
from ports.log import ProgressUnknownError

LOOK_TIMEOUT_S = 10.0
"""A look is worth nothing later; far below the lease."""


class KafkaGroupProgress:
    """A ``GroupProgress`` on aiokafka; connects at the first look.

    A look costs three small requests: who coordinates the group, all its offsets, and the ends.

    Parameters
    ----------
    reader
        Asked for starts and ends; the caller closes it.
    """

    def __init__(self, connection: KafkaConnection, reader: KafkaReader, *, group: str) -> None:
        self._connection = connection
        self._reader = reader
        self._group = group
        self._admin: Any = None

    async def look(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Progress]:
        """See ``ports.log.GroupProgress.look``."""
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                return await self._look(partitions)
        except (KafkaError, OSError, TimeoutError) as error:
            await self.close()
            raise ProgressUnknownError(f"{self._group}: {error!r}") from error

    async def _look(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Progress]:
        if self._admin is None:
            self._admin = AIOKafkaAdminClient(**self._connection.client_options())
            await self._admin.start()
        found = await self._admin.list_consumer_group_offsets(self._group)
        ends = await self._reader.end_offsets(partitions)
        committed = {
            TopicPartition(*tp): int(known.offset) for tp, known in found.items() if known.offset >= 0
        }
        # Nothing was ever handled in these; where nothing was ever written, the start is known.
        fresh = [tp for tp in partitions if tp not in committed and ends[tp] > 0]
        starts = await self._reader.start_offsets(fresh) if fresh else {}
        return {tp: Progress(committed.get(tp, starts.get(tp, 0)), ends[tp]) for tp in partitions}

    async def close(self) -> None:
        """See ``ports.log.GroupProgress.close``."""
        admin, self._admin = self._admin, None
        if admin is not None:
            await admin.close()
