"""Who pays for a dead worker: pure rules from a death to the outcomes of the jobs in it."""

import signal
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import assert_never

from penstock.errors import ErrorClass
from penstock.worker.frames import JobOutcome, LoopState, Probed

_MIB = 1024 * 1024
_NAMES_SHOWN = 20


class Cause(Enum):
    """Why a worker ended."""

    DIED = "died"
    TIMEOUT = "timeout"
    CANCEL = "cancel"
    MEMORY = "memory"
    STOPPED = "stopped"
    LAPSED = "lapsed"


@dataclass(frozen=True)
class Death:
    """How a worker ended.

    Attributes
    ----------
    exit_code
        As ``subprocess`` gives it: negative for a signal.
    culprits
        Jobs it was killed for because they ran past their timeouts (``TIMEOUT``).
    cancelled
        Jobs it was killed for because they went on after a cancel (``CANCEL``, ``TIMEOUT``).
    rss_bytes
        Resident memory it was killed at (``MEMORY``).
    """

    cause: Cause
    exit_code: int = 0
    culprits: frozenset[str] = frozenset()
    rss_bytes: int = 0
    cancelled: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Victim:
    """One job that was in the worker; ``run_s`` since its hand-over, ``limit_s`` its timeout."""

    key: str
    run_s: float
    limit_s: float


def culprits(overdue: frozenset[str], present: frozenset[str], probed: Probed | None) -> frozenset[str]:
    """Give the jobs a worker has to be killed for.

    A job that blocks the loop makes every other job in the worker late: then only the one that holds
    the loop is to blame. A worker that does not answer, or cannot name the holder, has all late jobs
    blamed.
    """
    if probed is not None and probed.loop is LoopState.BLOCKED and probed.holder in present:
        return frozenset({probed.holder})
    return overdue


def outcome_of(death: Death, victim: Victim, cohort: int) -> JobOutcome:
    """Give the outcome of one of the ``cohort`` jobs that were in a worker when it ended."""
    if victim.key in death.cancelled:
        return _for_cancel(victim)
    match death.cause:
        case Cause.TIMEOUT:
            return _for_timeout(death, victim, cohort)
        case Cause.CANCEL:
            message = "the worker was killed because another job in it was cancelled and did not stop"
            return _lost(victim, cohort, "WorkerKilled", message, collateral=True)
        case Cause.MEMORY:
            message = (
                f"the worker was killed at {death.rss_bytes // _MIB} MiB of resident memory, over its limit"
                f"{_company(cohort)}; use less memory in the task or raise the limit"
            )
            return _lost(victim, cohort, "MemoryLimitExceeded", message)
        case Cause.DIED:
            return _lost(
                victim, cohort, "WorkerDied", f"the worker {ending(death.exit_code)}{_company(cohort)}"
            )
        case Cause.STOPPED | Cause.LAPSED:
            message = "the executor stopped before the job ended"
            return _lost(victim, cohort, "WorkerKilled", message, collateral=True)
        case _:
            assert_never(death.cause)


def never_ran(key: str, error_class: ErrorClass, error_type: str, message: str) -> JobOutcome:
    """Give the failure of a job that no worker was asked to run."""
    return JobOutcome(
        key=key, ok=False, run_s=0.0, error_class=error_class, error_type=error_type, message=message
    )


def unknown_task(type_: str, app: Collection[str], known: Collection[str]) -> str:
    """Say that no loaded module declares the type, and what to do."""
    names = sorted(known)
    shown = ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
    modules = ", ".join(app) or "no app module"
    return (
        f"this executor has no task {type_!r} (loaded: {modules}; known: {shown}); correct the type, "
        f"or start the executor with --app and the module that declares it"
    )


def returned(key: str) -> JobOutcome:
    """Give the outcome of a job that waited for a worker when the pool stopped."""
    message = "the executor stopped before the job started"
    return _lost(Victim(key, 0.0, 0.0), 0, "WorkerKilled", message, collateral=True)


def ending(exit_code: int) -> str:
    """Say how a process ended, in words."""
    if exit_code >= 0:
        return f"exited with status {exit_code}"
    if -exit_code == signal.SIGKILL:
        return "was killed by SIGKILL (the system's out-of-memory killer, somebody, or its lease ended)"
    try:
        return f"was killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"was killed by signal {-exit_code}"


def _for_cancel(victim: Victim) -> JobOutcome:
    message = (
        "the job was cancelled and its attempt did not stop within its grace period, so its worker was "
        "killed; call ctx.raise_if_cancelled() in long loops"
    )
    return JobOutcome(
        key=victim.key,
        ok=False,
        run_s=victim.run_s,
        error_class="permanent",
        error_type="Cancelled",
        message=message,
        cohort=1,
    )


def _for_timeout(death: Death, victim: Victim, cohort: int) -> JobOutcome:
    if victim.key not in death.culprits:
        message = "the worker was killed because another job in it ran past its timeout"
        return _lost(victim, cohort, "WorkerKilled", message, collateral=True)
    if victim.run_s < victim.limit_s:
        message = (
            "the job held the worker's event loop until other jobs ran past their timeouts, so the worker "
            "was killed; await in async handlers, or write the handler as a plain def"
        )
        return _lost(victim, cohort, "LoopBlocked", message)
    message = (
        f"the attempt ran past its timeout of {victim.limit_s:g} s and did not stop, so its worker was "
        f"killed; call ctx.raise_if_cancelled() in long loops"
    )
    return JobOutcome(
        key=victim.key,
        ok=False,
        run_s=victim.run_s,
        error_class="timeout",
        error_type="TaskTimeout",
        message=message,
        cohort=cohort,
    )


def _company(cohort: int) -> str:
    return " while this job was alone in it" if cohort == 1 else f", with {cohort} jobs in it"


def _lost(
    victim: Victim, cohort: int, error_type: str, message: str, *, collateral: bool = False
) -> JobOutcome:
    return JobOutcome(
        key=victim.key,
        ok=False,
        run_s=victim.run_s,
        error_class="lost",
        error_type=error_type,
        message=message,
        collateral=collateral,
        cohort=cohort,
    )
