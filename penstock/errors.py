"""Errors a task raises to say what should happen next, and errors a client sees.

Every class carries ``error_class``, the treatment: ``permanent`` is not retried; ``transient``,
``overload``, ``timeout`` and ``lost`` are retried under the task's rule; ``poison`` is what the
pipeline calls a job that keeps killing its worker. An exception that is none of these is transient.
"""

from typing import ClassVar, Literal

ErrorClass = Literal["permanent", "transient", "overload", "timeout", "lost", "poison"]


class PenstockError(Exception):
    """Base of every error of this package."""

    error_class: ClassVar[ErrorClass] = "transient"


class TaskError(PenstockError):
    """Base of the errors a task raises about its own attempt."""


class PermanentError(TaskError):
    """Trying again cannot help: the job goes to the dead letters without another attempt."""

    error_class: ClassVar[ErrorClass] = "permanent"


class TransientError(TaskError):
    """Trying again may help.

    Parameters
    ----------
    message
        What went wrong.
    retry_after_s
        Not before this many seconds from now, when the other side said so; None leaves it to the rule.
    """

    def __init__(self, message: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class OverloadError(TransientError):
    """The other side asks for less: retried later, and the whole type may be slowed down."""

    error_class: ClassVar[ErrorClass] = "overload"


class TaskTimeout(TaskError):  # noqa: N818 - public name; says what happened
    """The attempt ran past its limit. Handlers meet it through ``ctx.raise_if_cancelled()``."""

    error_class: ClassVar[ErrorClass] = "timeout"


class Cancelled(TaskError):  # noqa: N818 - public name; says what happened
    """Somebody cancelled the job. Handlers meet it through ``ctx.raise_if_cancelled()``."""

    error_class: ClassVar[ErrorClass] = "permanent"


class TaskDefinitionError(PenstockError):
    """A task is declared wrongly; the message names the place, the fault and the remedy."""

    error_class: ClassVar[ErrorClass] = "permanent"


class AppImportError(PenstockError):
    """An app module cannot be imported; the message holds the traceback and the remedy."""

    error_class: ClassVar[ErrorClass] = "permanent"


class SubmitUnknown(PenstockError):  # noqa: N818 - public name; says what happened
    """A submit was not acknowledged in time: the job may be in the log, or not.

    Submitting again may make a second job. With an ``idempotency_key`` it is the same job, so the
    remedy is to give one and repeat the call.
    """


class JobRejected(PenstockError):  # noqa: N818 - public name; says what happened
    """The pipeline refused the record; it will never run in this form.

    Parameters
    ----------
    reason
        The stable code of the refusal.
    field
        The field at fault, None when it is the record as a whole.
    remedy
        What to change.
    """

    error_class: ClassVar[ErrorClass] = "permanent"

    def __init__(self, reason: str, *, field: str | None = None, remedy: str = "") -> None:
        where = "" if field is None else f" (field {field})"
        super().__init__(f"{reason}{where}" + (f"; {remedy}" if remedy else ""))
        self.reason = reason
        self.field = field
        self.remedy = remedy


class JobFailed(PenstockError):  # noqa: N818 - public name; says what happened
    """A job that was waited for ended in a terminal state other than ``succeeded``.

    Parameters
    ----------
    job_id
        The job.
    state
        Its terminal state, such as ``dead`` or ``expired``.
    cause
        Error class of its last attempt, None when it never ran.
    message
        Error message of its last attempt.
    """

    error_class: ClassVar[ErrorClass] = "permanent"

    def __init__(self, job_id: str, state: str, *, cause: str | None = None, message: str = "") -> None:
        super().__init__(f"job {job_id} is {state}" + (f": {message}" if message else ""))
        self.job_id = job_id
        self.state = state
        self.cause = cause
        self.message = message


class JobNotFound(PenstockError):  # noqa: N818 - public name; says what happened
    """No such job in the table (yet): the table follows the log by some milliseconds."""


class WaitTimeout(PenstockError):  # noqa: N818 - public name; says what happened
    """A wait ended before the job did; the job goes on."""
