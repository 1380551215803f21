"""Writes what the topic ``models`` says, with the offsets it reaches, in one transaction."""

from collections.abc import Collection, Mapping
from typing import LiteralString

from adapters.postgres.sink import PostgresTable
from ports.failpoints import Failpoint, reached
from ports.meter import Meter, Metric
from ports.model_table import ModelRows
from ports.state_table import Move

STAGE = "models"
"""Whose positions these are in ``stage_offsets``; by them a table that is whole reads on where it was."""

_MODEL: LiteralString = """
    INSERT INTO models (id, kind, created_at, created_by, code_version, data_begin, data_cut, rows, features,
                        metrics, beside, judged, parent, sha256, size_bytes, signed, purpose)
    VALUES (%(id)s, %(kind)s, to_timestamp(%(created_ms)s::bigint / 1000.0), %(created_by)s, %(code_version)s,
            to_timestamp(%(begin_ms)s::bigint / 1000.0), to_timestamp(%(cut_ms)s::bigint / 1000.0), %(rows)s,
            %(features)s::jsonb, %(metrics)s::jsonb, %(beside)s::jsonb, %(judged)s, %(parent)s, %(sha256)s,
            %(size_bytes)s, %(signed)s, %(purpose)s)
    ON CONFLICT (id) DO UPDATE SET
        kind = excluded.kind, created_at = excluded.created_at, created_by = excluded.created_by,
        code_version = excluded.code_version, data_begin = excluded.data_begin, data_cut = excluded.data_cut,
        rows = excluded.rows, features = excluded.features, metrics = excluded.metrics,
        beside = excluded.beside, judged = excluded.judged, parent = excluded.parent,
        sha256 = excluded.sha256, size_bytes = excluded.size_bytes, signed = excluded.signed
    WHERE models.purpose = excluded.purpose
"""
"""An id names what its bytes are, and two purposes never share any; a manifest that says otherwise must not
take the place of another purpose's."""
_ACT: LiteralString = """
    INSERT INTO model_acts (log_offset, said_at, champion, previous, shadow, enabled, said_by, reason,
                            purpose)
    VALUES (%(log_offset)s, to_timestamp(%(said_ms)s::bigint / 1000.0), %(champion)s, %(previous)s,
            %(shadow)s, %(enabled)s, %(said_by)s, %(reason)s, %(purpose)s)
    ON CONFLICT DO NOTHING
"""


class PostgresModels(PostgresTable):
    """The tables of models; connects, waits and fails as the sink of jobs does."""

    def __init__(self, conninfo: str, *, epoch: str, meter: Meter, before: Collection[str]) -> None:
        super().__init__(conninfo, stage=STAGE, epoch=epoch, meter=meter, before=before)

    async def write_models(self, rows: ModelRows, moves: Mapping[int, Move]) -> None:
        """Merge rows and move the positions, in one transaction. Repeated, it changes nothing more.

        Errors as of ``ports.state_table.StateTable``.
        """
        try:
            with self._answering():
                connection = await self._connected()
                async with connection.transaction(), connection.cursor() as cursor:
                    reached(Failpoint.MODELS_OPEN)
                    await self._move(cursor, moves)
                    reached(Failpoint.MODELS_MOVED)
                    if rows.models:
                        await cursor.executemany(_MODEL, [row._asdict() for row in rows.models])
                    if rows.acts:
                        await cursor.executemany(_ACT, [row._asdict() for row in rows.acts])
                    reached(Failpoint.MODELS_MERGED)
        except BaseException as error:
            await self._give_up(error)
            raise
        reached(Failpoint.MODELS_COMMITTED)
        self._meter.count(Metric.ROWS, len(rows.models) + len(rows.acts), table=STAGE)
