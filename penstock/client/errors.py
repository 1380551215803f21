"""Errors of the client that are about reaching the pipeline, named by what the caller may do next."""

from collections.abc import Sequence

from penstock.client.rows import CancelReport, SubmittedRef
from penstock.errors import PenstockError, SubmitUnknown


class NotConnected(PenstockError):  # noqa: N818 - public name; says what happened
    """Kafka or Postgres does not answer, or is not prepared; nothing was done. Repeat the call later."""


class InvalidJob(PenstockError, ValueError):  # noqa: N818 - public name; says what happened
    """A job that cannot be written as a record; nothing was sent. The message names field and remedy."""

    error_class = "permanent"


class InvalidFilter(PenstockError, ValueError):  # noqa: N818 - public name; says what happened
    """Conditions that are not understood, or would mean every job; nothing was asked."""

    error_class = "permanent"


class NotSent(PenstockError):  # noqa: N818 - public name; says what happened
    """No job of the call is in the log and none will come: repeating the call is safe."""


class Backpressure(NotSent):
    """More is under way to Kafka than the client may keep in memory; nothing of this call was sent.

    The producer is faster than Kafka takes its jobs, or Kafka is away. Slow down, or call again later.
    """


class Throttled(Backpressure):
    """The client itself holds this call back, because Kafka acknowledges too few; nothing of it was sent."""


class Unacknowledged(SubmitUnknown):
    """Some jobs of a submit have no acknowledgement: each may be in the log, now or soon, or not.

    Parameters
    ----------
    refs
        What is known, in the order of the jobs given: None where no acknowledgement came.
    withdrawn
        How many of the unacknowledged ones certainly never left this process.
    """

    def __init__(self, message: str, *, refs: Sequence[SubmittedRef | None], withdrawn: int) -> None:
        super().__init__(message)
        self.refs = tuple(refs)
        self.withdrawn = withdrawn


class CancelUnknown(PenstockError):  # noqa: N818 - public name; says what happened
    """A cancel was not acknowledged in time: it may be in the log or not. Repeating it is harmless."""

    report: CancelReport | None = None
    """Of a bulk cancel: what was asked before."""
