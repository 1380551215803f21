"""What the fold says of one verdict."""

from dataclasses import dataclass

from core.ledger.open_job import OpenJob
from core.states import State, progress_rank


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one verdict did. ``holds`` False: it changed nothing, and nobody may act on it.

    ``job`` is the job *after* the verdict (None when it was never opened), ``state`` and ``rank``
    what its row shows from now on; ``closed_n`` names the dispatch a closure ended.
    """

    holds: bool
    state: State | None = None
    rank: int = 0
    job: OpenJob | None = None
    closed_n: int = 0
    late: bool = False
    """A success that came after its dispatch had been lost or released, and still ends the job."""


REFUSED = Outcome(holds=False)


def reopened(job: OpenJob) -> Outcome:
    """Say that the job's next dispatch may be claimed."""
    return Outcome(holds=True, state=State.RETRYING, rank=progress_rank(State.ACCEPTED, job.n), job=job)
