"""The record of a gate's log that says a job has ended."""

import msgspec

from core.states import State

ENTERED_KIND = b"ENTERED"
ENDED_KIND = b"ENDED"


class Ended(msgspec.Struct, frozen=True, omit_defaults=True, tag="ENDED", tag_field="kind"):
    """A verdict that ends the job holds in the ledger; whatever the gate keeps for the job is over."""

    origin: str
    job_id: str
    n: int
    """The last dispatch."""
    state: State
    partition: int
    """With ``offset``: the verdict in ``jobs.events``."""
    offset: int
    tenant: str = ""
    """With ``workflow_id``, for the workflow gate: the workflow the job belongs to."""
    workflow_id: str | None = None
    blocks: bool = False
    """For the order gate: the job is dead, and its key waits for a person (``PENSTOCK_ORDER_ON_DEAD``)."""

    @property
    def succeeded(self) -> bool:
        """Whether the job can never be opened again."""
        return self.state is State.SUCCEEDED
