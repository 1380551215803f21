"""What rows cost: batches written as the materializer writes them, COPY and merge in one transaction."""

import time
import uuid
from collections.abc import Sequence

from adapters.postgres.sink import PostgresTable
from adapters.telemetry.prometheus import PrometheusMeter
from benchmarks import sample
from benchmarks.pipeline import Pipeline
from benchmarks.results import TableCost
from benchmarks.sample import make_sample
from benchmarks.timing import calibrate, measure
from core.rows import Folded
from core.rows_table import Table, empty_table, gather
from schemas.ledger import LedgerFolds

BATCH = 500
"""Jobs of one transaction."""
STEPS = 4
"""Records of a job in the sample's ledger: accepted, queued, claimed, succeeded."""


async def measure_sink(pipeline: Pipeline, *, batches: int, repeats: int) -> tuple[TableCost, ...]:
    """Write jobs that ended within one batch, and jobs whose four records come in four; the best counts."""
    calibration_s = measure(calibrate, 1, repeats=repeats).us / 1e6
    events = LedgerFolds(sample.EPOCH, with_notes=True).take(make_sample(BATCH).ledger)
    steps = [events[step * BATCH : (step + 1) * BATCH] for step in range(STEPS)]
    table = PostgresTable(
        pipeline.database.conninfo, stage="benchmark", epoch=sample.EPOCH, meter=PrometheusMeter()
    )
    try:
        # Connections and plans are not measured.
        await table.write(_rows(events), {})
        return (
            await _cost(table, pipeline, "within a batch", [events], batches, repeats, calibration_s),
            await _cost(table, pipeline, "a batch a record", steps, batches, repeats, calibration_s),
        )
    finally:
        await table.close()


async def _cost(
    table: PostgresTable,
    pipeline: Pipeline,
    what: str,
    parts: Sequence[Sequence[Folded]],
    batches: int,
    repeats: int,
    calibration_s: float,
) -> TableCost:
    found: list[tuple[float, float, float]] = []
    for _ in range(repeats):
        # Made ahead: what merging patches costs is a stage of its own.
        made = [[_rows(part, batch) for part in parts] for batch in _names(batches)]
        database_s, cpu_s, began_s = pipeline.cpu_s()["postgres"], time.process_time(), time.perf_counter()
        for batch in made:
            for rows in batch:
                await table.write(rows, {})
        elapsed_s, spent_s = time.perf_counter() - began_s, time.process_time() - cpu_s
        found.append((spent_s, pipeline.cpu_s()["postgres"] - database_s, elapsed_s))
    jobs = batches * BATCH
    cpu_us, database_us, elapsed_us = (min(column) / jobs * 1e6 for column in zip(*found, strict=True))
    return TableCost(
        what,
        round(cpu_us, 1),
        round(database_us, 1),
        round(elapsed_us, 1),
        round(cpu_us / 1e6 / calibration_s, 4),
    )


def _names(batches: int) -> list[str]:
    return [uuid.uuid4().hex for _ in range(batches)]


def _rows(events: Sequence[Folded], batch: str = "") -> Table:
    """Gather rows under ids of their own batch."""
    rows = empty_table()
    gather(rows, events)
    ids = {job_id: str(uuid.uuid5(uuid.NAMESPACE_OID, batch + job_id)) for job_id in rows.jobs}
    return Table(
        jobs={ids[job_id]: row for job_id, row in rows.jobs.items()},
        attempts={(ids[job_id], n): row for (job_id, n), row in rows.attempts.items()},
        logs={},
        scores={(ids[job_id], n): row for (job_id, n), row in rows.scores.items()},
        choices={},
    )
