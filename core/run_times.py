"""Running mean of run times per type: what the rule score expects of a job."""

from dataclasses import dataclass, field
from typing import NamedTuple

HALF_LIFE_JOBS = 500.0
"""After this many further completions of a type an old one counts half."""
PRIOR_JOBS = 3.0
"""A type's own mean outweighs the fallback after this many completions."""
UNKNOWN_RUN_S = 1.0
"""Expected run time while nothing at all is known; the middle of the cheap buckets."""


class Completed(NamedTuple):
    """Completions of one type, as a sketch adds them up."""

    type: str
    jobs: int
    run_s: float
    """Sum of their run times, seconds."""


@dataclass(slots=True)
class _Mean:
    weight: float = 0.0
    total_s: float = 0.0

    def add(self, jobs: int, run_s: float) -> None:
        keep = 0.5 ** (jobs / HALF_LIFE_JOBS)
        self.weight = self.weight * keep + jobs
        self.total_s = self.total_s * keep + run_s

    def shrunk_to(self, fallback_s: float) -> float:
        return (self.total_s + PRIOR_JOBS * fallback_s) / (self.weight + PRIOR_JOBS)


@dataclass(slots=True)
class RunTimes:
    """Decayed means by type, each shrunk towards the mean over all types."""

    _all: _Mean = field(default_factory=_Mean)
    _by_type: dict[str, _Mean] = field(default_factory=dict)

    def add(self, completed: Completed) -> None:
        """Take in completions; the order of sketches hardly matters, repeating one does."""
        if completed.jobs <= 0:
            return
        self._all.add(completed.jobs, completed.run_s)
        self._by_type.setdefault(completed.type, _Mean()).add(completed.jobs, completed.run_s)

    def expected_s(self, type_: str) -> float:
        """Give the expected run time of a job of this type, seconds, > 0."""
        overall_s = self._all.shrunk_to(UNKNOWN_RUN_S)
        mean = self._by_type.get(type_)
        return max(1e-3, overall_s if mean is None else mean.shrunk_to(overall_s))
