"""Writes what is learned of failures, with the offset of ``signatures`` it reaches, in one transaction."""

from collections.abc import Collection, Mapping, Sequence
from typing import LiteralString

from adapters.postgres.sink import PostgresTable
from ports.failpoints import Failpoint, reached
from ports.meter import Meter, Metric
from ports.signature_table import SignatureRow
from ports.state_table import Move

STAGE = "signatures"
"""Whose positions these are in ``stage_offsets``."""

_KIND: LiteralString = """
    INSERT INTO signatures (signature, error_class, error_type, template, location, task_type, first_seen,
                            log_offset, learned_offset)
    VALUES (%(signature)s, %(error_class)s, %(error_type)s, %(template)s, %(location)s, %(task_type)s,
            to_timestamp(%(first_ms)s::bigint / 1000.0), %(log_offset)s, %(learned_offset)s)
    ON CONFLICT (signature) DO UPDATE SET
        template = excluded.template, learned_offset = excluded.learned_offset
"""


class PostgresSignatures(PostgresTable):
    """The table of kinds of failures; connects, waits and fails as the sink of jobs does."""

    def __init__(self, conninfo: str, *, epoch: str, meter: Meter, before: Collection[str]) -> None:
        super().__init__(conninfo, stage=STAGE, epoch=epoch, meter=meter, before=before)

    async def write_signatures(self, rows: Sequence[SignatureRow], moves: Mapping[int, Move]) -> None:
        """Merge rows and move the positions, in one transaction. Repeated, it changes nothing more.

        Errors as of ``ports.state_table.StateTable``.
        """
        try:
            with self._answering():
                connection = await self._connected()
                async with connection.transaction(), connection.cursor() as cursor:
                    reached(Failpoint.SIGNATURES_OPEN)
                    await self._move(cursor, moves)
                    reached(Failpoint.SIGNATURES_MOVED)
                    if rows:
                        await cursor.executemany(_KIND, [row._asdict() for row in rows])
                    reached(Failpoint.SIGNATURES_MERGED)
        except BaseException as error:
            await self._give_up(error)
            raise
        reached(Failpoint.SIGNATURES_COMMITTED)
        self._meter.count(Metric.ROWS, len(rows), table=STAGE)
