"""What a running task is given about its attempt, and what it may say while it runs."""

import time
from collections import deque
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Protocol

import msgspec
from typing_extensions import Unpack

from penstock.errors import Cancelled, TaskTimeout
from penstock.relatives import ParentResults, Spawned, SpawnOptions

LOG_LINES_MAX = 200
"""Lines one attempt may log; further lines are counted and the count is said in the last line."""

LOG_LINE_MAX_BYTES = 1024
"""UTF-8 bytes of one line; with ``LOG_LINES_MAX`` an attempt stays below the 1 MiB record limit."""

LOG_TAIL_LINES = 20
"""Last lines that travel with a failure."""


class LogLine(msgspec.Struct, frozen=True, array_like=True):
    """One line a task logged: milliseconds since 1970, level, message with its ``key=value`` pairs."""

    at_ms: int
    level: str
    text: str


class CancelReason(Enum):
    """Why an attempt is asked to stop."""

    CANCEL = "cancel"
    TIMEOUT = "timeout"


class NoteSink(Protocol):
    """Where an attempt's lines and progress go; called from the handler's own thread."""

    def add_log(self, context: "Context", line: LogLine) -> None:
        """Take one line."""

    def add_progress(self, context: "Context", fraction: float, message: str) -> None:
        """Take the newest progress; an older one that has not left yet may be dropped."""


class TaskLog:
    """The log of one attempt, readable with ``penstock logs JOB``.

    Bounded: at most ``LOG_LINES_MAX`` lines of ``LOG_LINE_MAX_BYTES`` bytes. Not promised: that the
    last lines before a killed worker arrive.
    """

    __slots__ = ("_context", "_dropped", "_lines", "_sink", "_tail")

    def __init__(self, context: "Context", sink: NoteSink) -> None:
        self._context = context
        self._sink = sink
        self._lines = 0
        self._dropped = 0
        self._tail: deque[str] = deque(maxlen=LOG_TAIL_LINES)

    def debug(self, message: str, **fields: object) -> None:
        """Log a detail."""
        self._add("debug", message, fields)

    def info(self, message: str, **fields: object) -> None:
        """Log what happened."""
        self._add("info", message, fields)

    def warning(self, message: str, **fields: object) -> None:
        """Log what may need a look."""
        self._add("warning", message, fields)

    def error(self, message: str, **fields: object) -> None:
        """Log what went wrong; does not fail the attempt."""
        self._add("error", message, fields)

    @property
    def tail(self) -> list[str]:
        """The last ``LOG_TAIL_LINES`` lines, as ``LEVEL text``."""
        return list(self._tail)

    def close(self) -> None:
        """Say how many lines were dropped, if any. Called once, when the handler has ended."""
        if self._dropped:
            self._emit("warning", f"{self._dropped} more lines dropped: {LOG_LINES_MAX} lines an attempt")

    def _add(self, level: str, message: str, fields: dict[str, object]) -> None:
        self._lines += 1
        if self._lines > LOG_LINES_MAX:
            self._dropped += 1
            return
        pairs = "".join(f" {name}={_shown(value)}" for name, value in fields.items())
        self._emit(level, clean_text(f"{message}{pairs}", LOG_LINE_MAX_BYTES))

    def _emit(self, level: str, text: str) -> None:
        self._tail.append(f"{level.upper()} {text}")
        self._sink.add_log(self._context, LogLine(int(time.time() * 1000), level, text))


class Context:
    """One attempt of one job, as its handler sees it. Made by the worker or by ``penstock.testing``.

    Attributes
    ----------
    job_id
        UUID of the job.
    type
        The task's name.
    attempt
        1 for the first attempt; a lost or released attempt is not counted.
    dispatch
        Fencing number: unique and increasing within the job, also when ``attempt`` repeats. Store it
        with an effect to refuse a late writer.
    tenant
        Owner of the job.
    labels
        The labels it was submitted with.
    workflow_id
        The workflow it belongs to, None when it belongs to none.
    parents
        What the jobs it depends on returned, by job id, or by the name they have in the workflow.
    """

    __slots__ = (
        "_deadline_ms",
        "_log",
        "_reason",
        "_sink",
        "_spawned",
        "attempt",
        "dispatch",
        "job_id",
        "key",
        "labels",
        "parents",
        "tenant",
        "type",
        "workflow_id",
    )

    def __init__(
        self,
        sink: NoteSink,
        *,
        key: str,
        job_id: str,
        type: str,  # noqa: A002 - the contract's own field name
        tenant: str,
        attempt: int,
        dispatch: int,
        deadline_ms: int | None,
        labels: dict[str, str],
        workflow_id: str | None = None,
        parents: ParentResults | None = None,
    ) -> None:
        self._sink = sink
        self._deadline_ms = deadline_ms
        self._log: TaskLog | None = None
        self._reason: CancelReason | None = None
        self.key = key
        self.job_id = job_id
        self.type = type
        self.tenant = tenant
        self.attempt = attempt
        self.dispatch = dispatch
        self.labels = labels
        self.workflow_id = workflow_id
        self.parents = ParentResults({}) if parents is None else parents
        self._spawned: Spawned | None = None

    @property
    def deadline(self) -> datetime | None:
        """When the job should be done by (aware, UTC), or None. Nothing stops the task at it."""
        if self._deadline_ms is None:
            return None
        return datetime.fromtimestamp(self._deadline_ms / 1000, UTC)

    @property
    def log(self) -> TaskLog:
        """The log of this attempt."""
        if self._log is None:
            self._log = TaskLog(self, self._sink)
        return self._log

    @property
    def log_tail(self) -> list[str]:
        """The last lines logged, empty when none were."""
        return [] if self._log is None else self._log.tail

    def progress(self, fraction: float, message: str = "") -> None:
        """Say how far the attempt is; the newest wins and older ones may be dropped.

        Parameters
        ----------
        fraction
            Done so far; held within [0, 1].
        """
        held = min(1.0, max(0.0, float(fraction)))
        self._sink.add_progress(self, held, clean_text(message, LOG_LINE_MAX_BYTES))

    def spawn(
        self,
        type: str,  # noqa: A002 - the contract's own field name
        payload: Any = None,
        *,
        name: str | None = None,
        **options: Unpack[SpawnOptions],
    ) -> str:
        """Add a job to the workflow and give its id, for ``depends_on`` of further ones.

        The jobs an attempt adds are submitted when it succeeds, before its success counts; of an attempt
        that fails none is. Their ids are made from this job's id and ``name``, so an attempt that is
        repeated adds the same jobs and no more.

        Parameters
        ----------
        payload
            JSON-like value; None means ``{}``.
        name
            Tells the jobs of an attempt apart; default is their number. Give one when the order in which
            they are added may differ from attempt to attempt.

        Raises
        ------
        PermanentError
            The job cannot be added; the message says why.
        """
        if self._spawned is None:
            self._spawned = Spawned(self.job_id, self.tenant, self.workflow_id)
        return self._spawned.add(type, {} if payload is None else payload, name, options)

    @property
    def spawned(self) -> list[bytes]:
        """The records of the jobs added so far."""
        return [] if self._spawned is None else self._spawned.records

    @property
    def cancelled(self) -> bool:
        """Whether the attempt is asked to stop, by a cancel or because its time is over."""
        return self._reason is not None

    def raise_if_cancelled(self) -> None:
        """Leave the handler when the attempt is asked to stop; long sync handlers call it in their loop.

        Raises
        ------
        TaskTimeout
            The attempt ran past its limit; retried as a timeout.
        Cancelled
            The job was cancelled; not retried.
        """
        match self._reason:
            case None:
                return
            case CancelReason.TIMEOUT:
                raise TaskTimeout("the attempt ran past its timeout")
            case CancelReason.CANCEL:
                raise Cancelled("the job was cancelled")

    @property
    def cancel_reason(self) -> CancelReason | None:
        """Why the attempt is asked to stop, None when it is not."""
        return self._reason

    def request_cancel(self, reason: CancelReason) -> None:
        """Ask the attempt to stop; the first reason stays. Called by the worker, or by a test."""
        if self._reason is None:
            self._reason = reason

    def close(self) -> None:
        """Finish the log. Called once by the worker, when the handler has ended."""
        if self._log is not None:
            self._log.close()


def clean_text(text: str, max_bytes: int) -> str:
    """Give text that UTF-8 and a Postgres text column can hold, at most ``max_bytes`` long.

    Lone surrogates become ``?``, NUL becomes U+FFFD, and cut text ends in an ellipsis.
    """
    if len(text) * 4 <= max_bytes and text.isascii() and "\0" not in text:
        return text
    raw = text.encode("utf-8", "replace").replace(b"\0", "\ufffd".encode())
    if len(raw) <= max_bytes:
        return raw.decode()
    return raw[: max_bytes - 3].decode("utf-8", "ignore") + "…"


def _shown(value: object) -> str:
    text = str(value)
    return repr(text) if not text or " " in text or "\n" in text else text
