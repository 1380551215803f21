"""Report what running jobs say: log lines and progress."""

from collections import Counter

from core.ledger.notes import Logged, LogLine, Progress
from core.log import NewRecord
from core.masking import scrub, secrets
from penstock.worker.frames import JobNote
from ports.failpoints import Failpoint, reached
from schemas.accepted_job import AcceptedJob
from schemas.codec import ledger_record
from services.executor.context import ExecutorContext
from services.executor.held import Held
from services.executor.workers.pool import WorkerPool

LINES_PER_NOTE = 100
"""Lines in one record: 1 KiB each, and JSON may write a control character six times as long."""


class Reporter:
    """Appends notes of running jobs."""

    def __init__(self, context: ExecutorContext, held: Held, workers: WorkerPool) -> None:
        self._context = context
        self._held = held
        self._workers = workers
        self._lines: Counter[str] = Counter()

    async def run_notes(self) -> None:
        """Append what running jobs say until the pool has stopped."""
        while notes := await self._workers.notes():
            await self._append_notes(notes)

    def ended(self, job: AcceptedJob) -> None:
        """Forget how many lines an attempt has logged."""
        self._lines.pop(f"{job.origin}/{job.n}", None)

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


def _portions(lines: tuple[LogLine, ...]) -> list[tuple[LogLine, ...]]:
    return [lines[start : start + LINES_PER_NOTE] for start in range(0, len(lines), LINES_PER_NOTE)]
