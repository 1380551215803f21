"""How the jobs of a workflow move from stage to stage, and what their children make of it."""

from collections import deque

from core.gates.dependencies import OnParentFailure
from core.gates.fold import Effect, Passed, Refuses, Skips
from core.gates.workflow_graph import (
    FAILED_STAGES,
    NOWHERE,
    Group,
    Node,
    Stage,
    Workflow,
    blocking_parent,
    results_of,
)
from core.ledger.finished import FinishedJobs


class Moves:
    """Changes stages and gathers the effects.

    Parameters
    ----------
    left
        Where jobs are noted that need not come to the gate again.
    """

    def __init__(self, left: FinishedJobs) -> None:
        self._left = left
        self._unsettled: deque[tuple[Node, Stage, Stage]] = deque()
        """Moves, from where to where, that the children have not seen."""
        self.effects: list[Effect] = []
        self.reopened: list[Node] = []
        """Jobs that were skipped and wait again."""

    def move(self, workflow: Workflow, node: Node, stage: Stage) -> None:
        """Change a job's stage; its children see it in ``_settle``."""
        before, node.stage = node.stage, stage
        workflow.waiting += (stage is Stage.WAITING) - (before is Stage.WAITING)
        workflow.alive += (stage is Stage.RELEASED) - (before is Stage.RELEASED)
        if stage is not Stage.WAITING and node.place is not None:
            self._left.succeeded(node.place)
        if stage not in (Stage.WAITING, Stage.SKIPPED):
            node.parents, node.of_group, node.pending, node.failed = (), None, 0, 0
        self._unsettled.append((node, before, stage))

    def settle(self, workflow: Workflow) -> None:
        """Let every change reach the children, and theirs, until nothing changes any more."""
        while self._unsettled:
            node, before, after = self._unsettled.popleft()
            succeeded = after is Stage.SUCCEEDED
            failed = (after in FAILED_STAGES) - (before in FAILED_STAGES)
            if not (succeeded or failed):
                continue
            for child in node.children:
                child.pending -= succeeded
                child.failed += failed
                self.look_at(workflow, child)
            if succeeded:
                node.children = []
            if node.group is not None:
                self.count_member(workflow, node, node.group, before, after)

    def count_member(self, workflow: Workflow, node: Node, group: Group, before: Stage, after: Stage) -> None:
        """Let a group see a move of a member."""
        was_blocked, was_over = group.failed > 0, group.is_over
        group.succeeded += after is Stage.SUCCEEDED
        group.failed += (after in FAILED_STAGES) - (before in FAILED_STAGES)
        group.blocked_by = (group.blocked_by or node) if group.failed else None
        if was_blocked != (group.failed > 0):
            for child in group.children.get(OnParentFailure.SKIP, ()):
                self.look_at(workflow, child)
        if group.is_over and (not was_over or group.is_done):
            for child in [*group.dependents()]:
                self.look_at(workflow, child)

    def look_at(self, workflow: Workflow, child: Node) -> None:
        """Decide about a job that waits, or that was skipped, as its parents stand now."""
        has_closed = child.verdict_offset != NOWHERE
        # Before its end is read it may have been cancelled instead, and must not be opened again.
        if child.stage is Stage.SKIPPED and has_closed and not child.is_blocked:
            child.n += 1
            self.move(workflow, child, Stage.WAITING)
            self.reopened.append(child)
        if child.stage is not Stage.WAITING:
            return
        if child.is_ready:
            passed = Passed(child.offset, child.n, results_of(child))
            self.move(workflow, child, Stage.RELEASED)
            self.effects.append(passed)
        elif child.policy is OnParentFailure.SKIP and child.is_blocked:
            reason = f"its parent {blocking_parent(child).job_id} ended without success"
            self.move(workflow, child, Stage.SKIPPED)
            self.effects.append(Skips(child.offset, reason))

    def refuse(self, workflow: Workflow, node: Node, reason: str) -> None:
        """Close a job that can never run."""
        self.move(workflow, node, Stage.FAILED)
        self.effects.append(Refuses(node.offset, reason))
