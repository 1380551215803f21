"""Kinds of failure, and how each is treated when the retry rule decides."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class FaultClass(StrEnum):
    """What kind of failure ended an attempt; the values stand in records and metrics."""

    PERMANENT = "permanent"
    """Trying again cannot help."""
    TRANSIENT = "transient"
    """Trying again may help; also every exception that says nothing about itself."""
    OVERLOAD = "overload"
    """The other side asks for less."""
    TIMEOUT = "timeout"
    """The attempt ran past its limit."""
    LOST = "lost"
    """What ran the attempt is gone: the executor, or the worker process."""
    POISON = "poison"
    """The job takes its worker processes down with it."""


@dataclass(frozen=True, slots=True)
class FaultLaw:
    """How failures of one class are retried.

    Attributes
    ----------
    limit
        Failures of this class after which the job is dead; None: its ``max_attempts`` decides.
    base_factor
        What the backoff base is multiplied by.
    cap_s
        Longest backoff when the task has no rule of its own, seconds.
    """

    limit: int | None
    base_factor: float
    cap_s: float


UNCLASSIFIED_LIMIT = 10
"""Failed attempts after which a job is dead whose error says nothing about itself; twice what jobs have by
default. The waits between add up to less than nine minutes, which outlasts a restart of what was called; most
such errors are bugs, and fifty attempts would find nothing else."""

LAWS: Mapping[FaultClass, FaultLaw] = MappingProxyType(
    {
        FaultClass.PERMANENT: FaultLaw(limit=1, base_factor=0.0, cap_s=0.0),
        # Most of these are exceptions nobody classified: five minutes outlast a restart of what
        # was called, and a plain bug is dead soon after.
        FaultClass.TRANSIENT: FaultLaw(limit=None, base_factor=1.0, cap_s=300.0),
        FaultClass.OVERLOAD: FaultLaw(limit=None, base_factor=5.0, cap_s=1800.0),
        FaultClass.TIMEOUT: FaultLaw(limit=None, base_factor=2.0, cap_s=600.0),
        # Not the job's fault, so no real wait: a second spreads what one dead executor held.
        FaultClass.LOST: FaultLaw(limit=5, base_factor=1.0, cap_s=1.0),
        FaultClass.POISON: FaultLaw(limit=2, base_factor=0.0, cap_s=0.0),
    }
)


def fault_class(text: str) -> FaultClass:
    """Read an ``error_class`` from a record; anything unknown is transient, never an error."""
    try:
        return FaultClass(text)
    except ValueError:
        return FaultClass.TRANSIENT
