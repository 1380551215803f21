"""Report what running jobs say (logs, progress) and what a second's endings looked like."""

import asyncio
import math
import zlib
from collections import Counter
from dataclasses import dataclass

from core.ledger.notes import Logged, LogLine, Progress
from core.log import NewRecord
from core.masking import scrub, secrets
from penstock.worker.frames import JobNote, JobOutcome
from ports.failpoints import Failpoint, reached
from ports.stage import stopped_within
from schemas.accepted_job import AcceptedJob
from schemas.codec import encode, ledger_record
from schemas.outcomes import OutcomeSketch
from services.executor.context import ExecutorContext
from services.executor.held import Held
from services.executor.workers.pool import WorkerPool

SKETCH_INTERVAL_S = 1.0
LINES_PER_NOTE = 100
"""Lines in one record: 1 KiB each, and JSON may write a control character six times as long."""


@dataclass(slots=True)
class _Sums:
    succeeded: int = 0
    failed: int = 0
    run_ms: int = 0
    run_log2_sum: int = 0


class Reporter:
    """Appends notes of running jobs, and sketches of what ended."""

    def __init__(self, context: ExecutorContext, held: Held, workers: WorkerPool) -> None:
        self._context = context
        self._held = held
        self._workers = workers
        self._sums: dict[tuple[str, str], _Sums] = {}
        self._lines: Counter[str] = Counter()
        self._seq = 0

    async def run_notes(self) -> None:
        """Append what running jobs say until the pool has stopped."""
        while notes := await self._workers.notes():
            await self._append_notes(notes)

    async def run_sketches(self, stopped: asyncio.Event) -> None:
        """Append one sketch a second and (type, tenant) that ended anything, until ``stopped``."""
        while not stopped.is_set():
            await stopped_within(stopped, SKETCH_INTERVAL_S)
            await self._append_sketches()

    def ended(self, job: AcceptedJob, outcome: JobOutcome) -> None:
        """Take in how one attempt ended; one handed back tells nothing about its type."""
        self._lines.pop(f"{job.origin}/{job.n}", None)
        if outcome.collateral:
            return
        sums = self._sums.setdefault((job.type, job.tenant), _Sums())
        if not outcome.ok:
            sums.failed += 1
            return
        run_ms = round(outcome.run_s * 1000)
        sums.succeeded += 1
        sums.run_ms += run_ms
        sums.run_log2_sum += round(1000 * math.log2(run_ms + 1))

    async def _append_notes(self, notes: list[JobNote]) -> None:
        outputs: list[NewRecord] = []
        for note in notes:
            held = self._held.get(note.key)
            if held is None:
                continue
            job = held.job
            hidden = secrets(bytes(job.payload), job.sensitive) if job.sensitive else ()
            outputs.extend(
                ledger_record(self._context.routes, Logged(job.origin, job.job_id, job.n, lines))
                for lines in _portions(self._numbered(note, hidden))
            )
            if note.progress is not None:
                message = scrub(note.progress_message, hidden)
                progress = Progress(job.origin, job.job_id, job.n, note.progress, message)
                outputs.append(ledger_record(self._context.routes, progress))
        reached(Failpoint.NOTES_TAKEN, when=outputs)
        await self._context.appender.append(outputs)
        reached(Failpoint.NOTES_APPENDED, when=outputs)

    def _numbered(self, note: JobNote, hidden: tuple[str, ...]) -> tuple[LogLine, ...]:
        first = self._lines[note.key]
        self._lines[note.key] += len(note.lines)
        return tuple(
            LogLine(first + index, line.at_ms, line.level, scrub(line.text, hidden))
            for index, line in enumerate(note.lines)
        )

    async def _append_sketches(self) -> None:
        sums, self._sums = self._sums, {}
        outputs: list[NewRecord] = []
        for (type_, tenant), one in sums.items():
            self._seq += 1
            sketch = OutcomeSketch(
                type_,
                tenant,
                self._context.instance,
                self._seq,
                self._context.now_ms(),
                one.succeeded,
                one.failed,
                one.run_ms,
                one.run_log2_sum,
            )
            partition = zlib.crc32(type_.encode()) % self._context.routes.partitions
            outputs.append(
                NewRecord(self._context.routes.outcomes, partition, type_.encode(), encode(sketch))
            )
        reached(Failpoint.SKETCHES_TAKEN, when=outputs)
        await self._context.appender.append(outputs)
        reached(Failpoint.SKETCHES_APPENDED, when=outputs)


def _portions(lines: tuple[LogLine, ...]) -> list[tuple[LogLine, ...]]:
    return [lines[start : start + LINES_PER_NOTE] for start in range(0, len(lines), LINES_PER_NOTE)]
