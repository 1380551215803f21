"""Collecting what handlers log, so that it travels in batches."""

from collections import deque
from collections.abc import Callable

from penstock.context import Context, LogLine
from penstock.worker.frames import JobNote


class NoteBook:
    """A ``NoteSink`` for all jobs of a worker; handlers write from any thread.

    Parameters
    ----------
    due
        Called after each write; asks for a ``take`` soon.
    """

    def __init__(self, due: Callable[[], None]) -> None:
        self._due = due
        self._lines: deque[tuple[Context, LogLine]] = deque()
        self._progress: deque[tuple[Context, float, str]] = deque()

    def add_log(self, context: Context, line: LogLine) -> None:
        """Take one line."""
        self._lines.append((context, line))
        self._due()

    def add_progress(self, context: Context, fraction: float, message: str) -> None:
        """Take the newest progress of a job."""
        self._progress.append((context, fraction, message))
        self._due()

    def take(self) -> list[JobNote]:
        """Give everything written so far, one note a job, and forget it."""
        lines: dict[Context, list[LogLine]] = {}
        progress: dict[Context, tuple[float, str]] = {}
        # A deque drained one by one: a swap would lose the line of a thread that holds the old one.
        while self._lines:
            context, line = self._lines.popleft()
            lines.setdefault(context, []).append(line)
        while self._progress:
            context, fraction, message = self._progress.popleft()
            progress[context] = fraction, message
        return [
            JobNote(context.key, context.job_id, lines.get(context, []), *progress.get(context, (None, "")))
            for context in dict.fromkeys((*lines, *progress))
        ]
