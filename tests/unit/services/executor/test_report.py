"""What running jobs say must never be too large to append: it would end the executor."""

from types import SimpleNamespace
from typing import Any, cast

import msgspec

from adapters.memory.appender import MemoryAppender
from adapters.memory.broker import MemoryBroker
from core.ledger.notes import Logged
from penstock.context import LOG_LINE_MAX_BYTES, LOG_LINES_MAX, LogLine
from penstock.worker.frames import JobNote
from schemas.accepted_job import AcceptedJob, QueuedJob
from schemas.codec import decode_event
from schemas.topics import RouteMap
from services.executor.held import Held, HeldJob
from services.executor.report import Reporter
from tests.support.executor import executor_context

ROUTES = RouteMap(partitions=1)
JOB = AcceptedJob(
    origin="e:0:7",
    job_id="01234567-89ab-7def-8123-456789abcdef",
    type="email.send",
    tenant="default",
    pool="default",
    payload=msgspec.Raw(b"{}"),
    priority=5,
    submitted_ms=1,
    timeout_s=300,
    max_attempts=5,
    body_hash="0" * 16,
    trace_id="0" * 32,
)


async def test_the_most_a_job_can_log_at_once_fits_into_the_ledger() -> None:
    broker = MemoryBroker(lambda: 5)
    broker.create_topics(ROUTES.specs())
    context = executor_context(ROUTES, MemoryAppender(broker))
    held = Held()
    held.add(HeldJob(QueuedJob(JOB, 1, 0, 0.0), 0, 1.0))
    # JSON writes this character six times as long.
    lines = [LogLine(1, "info", "\x01" * LOG_LINE_MAX_BYTES) for _ in range(LOG_LINES_MAX + 1)]
    batches = [[JobNote("e:0:7/1", JOB.job_id, lines, None, "")], []]

    async def notes() -> list[JobNote]:
        return batches.pop(0)

    await Reporter(context, held, cast("Any", SimpleNamespace(notes=notes))).run_notes()

    written = [decode_event(record) for record in broker.records(ROUTES.ledger)]
    numbers = [line.seq for note in written if isinstance(note, Logged) for line in note.lines]
    assert numbers == list(range(LOG_LINES_MAX + 1))
