"""What an executor and its worker processes say to each other, and how it is framed.

A frame is four bytes of length (big endian) and one msgpack message; messages carry batches. Both
ends run the same code version, so nothing here is stable and nothing of it reaches a log.
"""

from collections.abc import Iterator
from enum import Enum

import msgspec

from penstock.context import CancelReason, LogLine
from penstock.errors import ErrorClass

_LENGTH_BYTES = 4


class StartJob(msgspec.Struct, frozen=True, array_like=True):
    """One attempt to run.

    Attributes
    ----------
    key
        Dispatch identity, ``origin/n``; unique among the jobs of a pool.
    payload
        The job's own bytes, JSON.
    timeout_s
        Limit of this attempt, counted by the executor from the hand-over to a worker.
    parents
        Results of its parents by job id, JSON; ``parents_omitted`` says why there are none to be had.
    """

    key: str
    job_id: str
    type: str
    tenant: str
    attempt: int
    dispatch: int
    deadline_ms: int | None
    labels: dict[str, str]
    payload: bytes
    timeout_s: float
    workflow_id: str | None = None
    parents: dict[str, bytes] = {}
    parents_omitted: str = ""


class JobOutcome(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """How one attempt ended.

    Attributes
    ----------
    run_s
        Seconds in the handler (monotonic); of a killed worker's jobs, seconds since the hand-over.
    result
        JSON bytes when ``ok``, ``null`` when the handler returned nothing.
    log_tail
        Last lines of a failed attempt.
    collateral
        The attempt ended only because its worker had to be killed for another job's sake, or because
        the pool stopped: give it back, do not count it against the job.
    cohort
        Jobs that were in the worker when it died, this one included; 0 when it did not die. Only with
        1 is the job proven to have killed it.
    spawned
        Records of the jobs it added, when it succeeded.
    unclassified
        Nothing says what kind of failure it was: neither the exception's class nor a ``Retry-After``.
    """

    key: str
    ok: bool
    run_s: float
    result: bytes | None = None
    error_class: ErrorClass | None = None
    error_type: str = ""
    message: str = ""
    traceback: str = ""
    retry_after_s: float | None = None
    log_tail: list[str] = []
    collateral: bool = False
    cohort: int = 0
    spawned: list[bytes] = []
    unclassified: bool = False


class JobNote(msgspec.Struct, frozen=True, array_like=True):
    """What an attempt said since its last note.

    Attributes
    ----------
    progress
        Newest fraction done, None when none was said.
    """

    key: str
    job_id: str
    lines: list[LogLine]
    progress: float | None
    progress_message: str


class RetryPolicy(msgspec.Struct, frozen=True, array_like=True):
    """A task's ``RetryRule`` in seconds."""

    base_s: float
    cap_s: float
    factor: float


class TaskPolicy(msgspec.Struct, frozen=True, array_like=True):
    """What a task says about its own jobs; None leaves it to the job or the executor."""

    type: str
    timeout_s: float | None
    max_attempts: int | None
    retry: RetryPolicy | None
    uses: list[str]
    concurrency: int | None
    cancel_grace_s: float | None = None
    is_async: bool = True


class WorkerConfig(msgspec.Struct, frozen=True):
    """How a worker is started; its only command line argument, as JSON."""

    fd: int
    parent_pid: int
    app: list[str]
    app_path: list[str]
    slots: int
    result_max_bytes: int


class Start(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """To a worker: run these."""

    jobs: list[StartJob]


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """To a worker: ask these attempts to stop; an async handler is cancelled after ``grace_s``."""

    keys: list[str]
    reason: CancelReason
    grace_s: float


class Lease(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """To a worker: live until this CLOCK_BOOTTIME second, shared by all processes of the machine."""

    until_s: float


class Probe(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """To a worker: say who holds your loop."""


class Stop(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """To a worker without jobs: leave."""


Command = Start | Cancel | Lease | Probe | Stop
"""What an executor says."""


class Ready(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """From a worker: the app is imported, these are its tasks."""

    policies: list[TaskPolicy]


class StartFailed(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """From a worker: the app cannot be used, and why."""

    message: str


class Ended(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """From a worker: these attempts ended."""

    outcomes: list[JobOutcome]


class Notes(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """From a worker: logs and progress."""

    notes: list[JobNote]


class LoopState(Enum):
    """Whether a worker's event loop takes commands."""

    TURNING = "turning"
    BLOCKED = "blocked"


class Probed(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """From a worker: the state of its loop, and the job that holds a blocked one when that is known."""

    loop: LoopState
    holder: str | None


Event = Ready | StartFailed | Ended | Notes | Probed
"""What a worker says."""

_encoder = msgspec.msgpack.Encoder()
_commands: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
_events: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)


def frame(message: Command | Event) -> bytes:
    """Give the frame of a message."""
    body = _encoder.encode(message)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


class FrameBuffer:
    """Cuts a byte stream into frame bodies; keeps what is not whole yet."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes and give the bodies that are whole now."""
        self._pending += data
        at = 0
        while len(self._pending) - at >= _LENGTH_BYTES:
            end = at + _LENGTH_BYTES + int.from_bytes(self._pending[at : at + _LENGTH_BYTES], "big")
            if len(self._pending) < end:
                break
            yield bytes(self._pending[at + _LENGTH_BYTES : end])
            at = end
        del self._pending[:at]

    def commands(self, data: bytes) -> Iterator[Command]:
        """Take bytes of an executor and give the commands that are whole now."""
        return map(_commands.decode, self.feed(data))

    def events(self, data: bytes) -> Iterator[Event]:
        """Take bytes of a worker and give the events that are whole now."""
        return map(_events.decode, self.feed(data))
