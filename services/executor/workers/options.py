"""What a worker pool is told."""

from dataclasses import dataclass
from enum import Enum

_MIB = 1024 * 1024


class UnknownType(Enum):
    """What a job of a type the app does not have ends in.

    ``PERMANENT`` tells of a wrong name at once. ``TRANSIENT`` lets the job come back while a rolling
    deploy still has executors without the new task; its cost is that a typo is retried to the end.
    """

    PERMANENT = "permanent"
    TRANSIENT = "transient"


@dataclass(frozen=True)
class PoolOptions:
    """Options of a ``WorkerPool``.

    Attributes
    ----------
    workers
        Processes.
    slots_per_worker
        Attempts at once in one process; with 1 a killed worker takes no other job along.
    app
        Modules that declare tasks.
    app_path
        Directories put first on the workers' ``sys.path``.
    memory_limit_bytes
        Resident memory at which a worker is killed; looked at every second, so a faster leak overshoots.
    cancel_grace_s
        After a cancel an attempt has so long to see ``ctx.cancelled``, unless its task says otherwise;
        then an async handler is cancelled, and the worker of a sync one killed.
    timeout_grace_s
        After its timeout, or after an async handler was cancelled, an attempt has so long to stop before
        its worker is killed.
    start_timeout_s
        Limit of importing the app.
    result_max_bytes
        JSON bytes of a result.
    """

    workers: int = 1
    slots_per_worker: int = 32
    app: tuple[str, ...] = ()
    app_path: tuple[str, ...] = (".",)
    memory_limit_bytes: int = 1024 * _MIB
    cancel_grace_s: float = 10.0
    timeout_grace_s: float = 5.0
    start_timeout_s: float = 30.0
    result_max_bytes: int = 64 * 1024
    unknown_type: UnknownType = UnknownType.PERMANENT
