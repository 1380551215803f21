"""The records of the workflow gate's log, as far as the gate needs them."""

import msgspec

from core.gates.dependencies import DependsOn, OnParentFailure
from core.priority import DEFAULT_PRIORITY
from core.states import State
from core.urgency import Urgency, urgency_of

TICK_KIND = b"TICK"

WorkflowKey = tuple[str, str]
"""Tenant and workflow_id: tenants never meet in a workflow."""


class EnteredJob(msgspec.Struct, frozen=True):
    """What the gate needs of an ``AcceptedJob``."""

    origin: str
    job_id: str
    tenant: str
    workflow_id: str
    n: int = 1
    depends_on: DependsOn = ()
    group: str | None = None
    on_parent_failure: OnParentFailure = OnParentFailure.SKIP
    priority: int = DEFAULT_PRIORITY
    deadline_ms: int | None = None
    inherited_priority: int | None = None
    inherited_deadline_ms: int | None = None

    @property
    def urgency(self) -> Urgency:
        """How urgent it is before anybody waits for it here."""
        return urgency_of(
            self.priority, self.deadline_ms, self.inherited_priority, self.inherited_deadline_ms
        )


class EndedJob(msgspec.Struct, frozen=True):
    """What the gate needs of an ``Ended``."""

    origin: str
    job_id: str
    n: int
    state: State
    offset: int
    """Of the verdict, in the home partition of the ledger."""
    tenant: str
    workflow_id: str


class Tick(msgspec.Struct, frozen=True, tag="TICK", tag_field="kind"):
    """Says what time it is, when something waits for that, and how long it is to wait."""

    unknown_wait_ms: int
    """How long a job waits for parents nobody has submitted, while no other job of its workflow runs."""
    keep_ms: int
    """How long a workflow is remembered after its last job has ended."""


GateEvent = EnteredJob | EndedJob | Tick
