"""Decisions about failures as they were logged, with what became of their jobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from core.retrying.bins import Vector
from core.retrying.choice import Subject
from core.retrying.evidence import Settled


class Decided(NamedTuple):
    """One decision.

    Attributes
    ----------
    at_ms
        When it was decided, ms since 1970.
    age_s
        Of the episode then, seconds.
    is_retry
        Whether another try was to come; else the job is dead by it.
    vector
        (n_features,) as logged; None: there is none, or it is of other columns than this version's.
    ended_ms
        When the job ended; None: it has not, or nobody saw it.
    recovered
        Whether it ended by succeeding.
    """

    job: str
    at_ms: int
    age_s: float
    is_retry: bool
    subject: Subject
    vector: Vector | None
    ended_ms: int | None
    recovered: bool


@dataclass(frozen=True)
class RetryLogged:
    """What can be learned from, in order of decision.

    Attributes
    ----------
    settled
        What ways of choosing delays have cost, also of decisions without a vector.
    """

    decided: Sequence[Decided]
    settled: Sequence[Settled] = ()

    def __len__(self) -> int:
        return len(self.decided)

    @property
    def ends(self) -> int:
        """Decisions to retry, with a vector, whose job has ended."""
        return sum(one.ended_ms is not None for one in self._asked())

    @property
    def recoveries(self) -> int:
        """Those of them whose job succeeded."""
        return sum(one.recovered for one in self._asked())

    def _asked(self) -> Sequence[Decided]:
        return [one for one in self.decided if one.is_retry and one.vector is not None]
