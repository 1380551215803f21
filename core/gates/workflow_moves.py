"""How the jobs of a workflow move from stage to stage, and what their children make of it."""

from collections import deque
from collections.abc import Iterable

from core.gates.dependencies import OnParentFailure, ParentGroup
from core.gates.fold import Boosts, Effect, Passed, Refuses, Skips
from core.gates.workflow_graph import (
    FAILED_STAGES,
    NOWHERE,
    Group,
    Node,
    Stage,
    Workflow,
    blocking_parent,
    key_of,
    results_of,
)
from core.gates.workflow_records import EnteredJob
from core.ledger.finished import FinishedJobs
from core.urgency import Urgency, worth_a_copy


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
        if stage in (Stage.SUCCEEDED, Stage.FAILED):
            node.parents, node.of_group = (), None
        if stage not in (Stage.WAITING, Stage.SKIPPED):
            node.pending, node.failed = 0, 0
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
            self.effects.append(Passed(child.offset, child.n, results_of(child), child.inherits))
            child.passed_offset = child.offset
            self.move(workflow, child, Stage.RELEASED)
        elif child.policy is OnParentFailure.SKIP and child.is_blocked:
            reason = f"its parent {blocking_parent(child).job_id} ended without success"
            self.move(workflow, child, Stage.SKIPPED)
            self.effects.append(Skips(child.offset, reason))

    def join_group(self, workflow: Workflow, node: Node, name: str | None, now_ms: int) -> str | None:
        """Let a job be a member of a group; say why not if it cannot."""
        if name is None:
            return None
        group = workflow.group(name)
        if group.is_full:
            return (
                f"the group `{name}` is sealed with {group.count} jobs and has them all: send a larger count "
                "with the jobs that depend on it, or leave this job out of the group"
            )
        group.members.append(node)
        node.group = group
        if node.stage is Stage.RELEASED:
            # It was opened again before it first came.
            self._raise(node, group.urgency, now_ms)
        else:
            node.urgency = node.urgency.joined(group.urgency)
        if node.has_ended:
            self.count_member(workflow, node, group, Stage.EXPECTED, node.stage)
        return None

    def depend(self, workflow: Workflow, node: Node, event: EnteredJob) -> str | None:
        """Let a job depend on its parents; say why not if it cannot."""
        if isinstance(event.depends_on, ParentGroup):
            return self._depend_on_group(workflow, node, event.depends_on)
        keys = dict.fromkeys(key_of(parent) for parent in event.depends_on)
        if node.key in keys:
            return "the job depends on itself: remove its own id from `depends_on`"
        node.parents = tuple(workflow.node(key) for key in keys)
        for parent in node.parents:
            if parent.stage is not Stage.SUCCEEDED:
                node.pending += 1
                node.failed += parent.stage in FAILED_STAGES
                parent.children.append(node)
        return None

    def _depend_on_group(self, workflow: Workflow, node: Node, parents: ParentGroup) -> str | None:
        name, count = parents.group, parents.count
        group = workflow.group(name)
        if node.group is group:
            return f"the job depends on the group `{name}` and is a member of it: leave one of the two out"
        if count is not None and group.count not in (NOWHERE, count):
            return (
                f"the group `{name}` is sealed with {group.count} jobs already, and this job says {count}: "
                "send the same count, or leave it out"
            )
        if count is not None and len(group.members) > count:
            return (
                f"the group `{name}` has {len(group.members)} jobs already, and this job seals it with "
                f"{count}: send the count of all its jobs"
            )
        node.of_group = group
        if count is not None and group.count == NOWHERE:
            group.count = count
            for child in [*group.dependents()]:
                self.look_at(workflow, child)
        group.children.setdefault(node.policy, []).append(node)
        return None

    def raise_parents(self, node: Node, now_ms: int) -> None:
        """Make all that a waiting job waits for as urgent as it, and what they wait for.

        A job or group is raised a few times at most (``worth_a_copy``), so this costs no more than a few
        looks at each edge, however often it is asked.
        """
        below = [node]
        while below:
            child = below.pop()
            parents: Iterable[Node] = child.parents
            if child.of_group is not None:
                raised = worth_a_copy(child.of_group.urgency, child.urgency, now_ms)
                parents = () if raised is None else child.of_group.members
                child.of_group.urgency = raised or child.of_group.urgency
            below.extend(parent for parent in parents if self._raise(parent, child.urgency, now_ms))

    def _raise(self, node: Node, by: Urgency, now_ms: int) -> bool:
        """Make a job as urgent as what waits for it; say whether what it waits for itself is to know."""
        raised = worth_a_copy(node.urgency, by, now_ms)
        if raised is None or node.stage is Stage.SUCCEEDED:
            return False
        node.urgency = raised
        if node.stage is Stage.RELEASED and node.passed_offset != NOWHERE:
            self._boost(node, raised)
        return node.stage is Stage.WAITING

    def _boost(self, node: Node, urgency: Urgency) -> None:
        # A record with which it was opened again says itself what its parents gave.
        parents = results_of(node) if node.passed_offset == node.offset else None
        self.effects.append(Boosts(node.passed_offset, urgency, node.n, parents))

    def refuse(self, workflow: Workflow, node: Node, reason: str) -> None:
        """Close a job that can never run."""
        self.move(workflow, node, Stage.FAILED)
        self.effects.append(Refuses(node.offset, reason))
