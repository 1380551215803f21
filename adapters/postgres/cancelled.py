"""Asks the table which job a cancel by id alone is about."""

from collections.abc import Sequence
from typing import LiteralString

from psycopg.rows import class_row

from adapters.postgres.sink import PostgresTable
from ports.meter import Meter
from ports.state_table import CancelledRow

STAGE = "cancels"
"""Names the connection; nothing is written over it."""

_CANCELLED: LiteralString = """
    SELECT job_id::text, concat_ws(':', origin_epoch, origin_partition, origin_offset) AS origin,
           coalesce(cancel_by, '') AS by, coalesce(cancel_reason, '') AS reason
    FROM jobs WHERE job_id = ANY(%s::uuid[]) AND origin_epoch = %s
"""


class PostgresCancelled(PostgresTable):
    """A ``CancelledRows``; connects, waits and fails as the sink of jobs does."""

    def __init__(self, conninfo: str, *, epoch: str, meter: Meter) -> None:
        super().__init__(conninfo, stage=STAGE, epoch=epoch, meter=meter)

    async def cancelled(self, job_ids: Sequence[str]) -> list[CancelledRow]:
        """See ``ports.state_table.CancelledRows.cancelled``."""
        try:
            with self._answering():
                connection = await self._connected()
                async with connection.cursor(row_factory=class_row(CancelledRow)) as cursor:
                    await cursor.execute(_CANCELLED, (list(job_ids), self._epoch))
                    return await cursor.fetchall()
        except BaseException as error:
            await self._give_up(error)
            raise
