"""The *workflow* gate: jobs of a workflow wait for their parents.

A pure fold over one partition of ``jobs.workflows``; see ``core.gates.fold`` for the rules it keeps. Time
goes on by the log's ticks alone, which carry the settings they apply.
"""

from collections import deque
from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple, Self, assert_never

import msgspec

from core.frames import Frame
from core.gates.ended import ENDED_KIND, ENTERED_KIND
from core.gates.fold import Effect, Passed, UnknownGateRecordError, Waits, is_next
from core.gates.gate import Gate
from core.gates.workflow_graph import (
    NAMED_MAX,
    NOWHERE,
    Node,
    Stage,
    Workflow,
    circles,
    key_of,
    lacking,
    lacks_parents,
    way_round,
)
from core.gates.workflow_image import GateState, WorkflowImage, restored_state
from core.gates.workflow_moves import Moves
from core.gates.workflow_records import (
    TICK_KIND,
    EndedJob,
    EnteredJob,
    GateEvent,
    Tick,
    WorkflowKey,
)
from core.ledger.finished import FinishedJobs
from core.ledger.fold import WrongEpochError
from core.log import Record
from core.states import State
from penstock.identity import Origin

CIRCLE_DELAY_MS = 1000
"""Jobs that come together are looked at together, so that the search costs little beside them."""
WAITS_ON = "parents"
_LACKING, _OVER, _SUSPECT = "lacking", "over", "suspect"

_decode_entered = msgspec.json.Decoder(EnteredJob).decode
_decode_ended = msgspec.json.Decoder(EndedJob).decode
_decode_tick = msgspec.json.Decoder(Tick).decode


class Watch(NamedTuple):
    """Something to look at a while after ``since_ms``."""

    since_ms: int
    workflow: WorkflowKey
    job: bytes = b""
    """The job that lacks parents."""


class WorkflowGate:
    """Fold of one partition of ``jobs.workflows``.

    A job passes once, when its parents have ended as its ``on_parent_failure`` asks. The cost of a record is
    that of the edges it settles: an edge is looked at when its child comes and when its parent ends, and
    again only when a redrive opens the parent.

    Memory: see ``Node``, until a workflow is forgotten; a few bits a job for ever.
    """

    def __init__(self, epoch: str) -> None:
        self._epoch = epoch
        self._next_offset = 0
        self._now_ms = 0
        """Largest append time folded."""
        self._workflows: dict[WorkflowKey, Workflow] = {}
        self._left = FinishedJobs()
        """Jobs that need not come again: released, closed by the gate, or ended."""
        self._lacking: deque[Watch] = deque()
        """Jobs that came while parents of theirs were unknown, the oldest first."""
        self._suspects: dict[WorkflowKey, int] = {}
        """Workflows in which a circle may have been closed, and since when; the oldest first."""
        self._over: deque[Watch] = deque()
        """Workflows in which nothing waits or runs, the oldest first."""
        self._moves = Moves(self._left)
        self._image: WorkflowImage | None = None

    @property
    def gate(self) -> Gate:
        """See ``core.gates.fold.GateFold.gate``."""
        return Gate.WORKFLOW

    @property
    def next_offset(self) -> int:
        """See ``core.gates.fold.GateFold.next_offset``."""
        return self._next_offset

    @property
    def workflows(self) -> int:
        """Workflows remembered."""
        return len(self._workflows)

    @property
    def waiting(self) -> int:
        """Jobs that wait."""
        return sum(workflow.waiting for workflow in self._workflows.values())

    def tick_due_ms(self, unknown_wait_ms: int, keep_ms: int) -> int | None:
        """When a tick of these settings would do something; None when nothing waits for one."""
        times = [watch[0].since_ms + wait_ms for watch, wait_ms in self._watches(unknown_wait_ms, keep_ms)]
        times.extend(since_ms + CIRCLE_DELAY_MS for since_ms in [*self._suspects.values()][:1])
        return min(times, default=None)

    def _watches(self, unknown_wait_ms: int, keep_ms: int) -> Iterable[tuple[deque[Watch], int]]:
        both = ((self._lacking, unknown_wait_ms), (self._over, keep_ms))
        return (pair for pair in both if pair[0])

    def take(self, record: Record) -> list[Effect]:
        """See ``core.gates.fold.GateFold.take``."""
        if not is_next(record, self._next_offset):
            return []
        value = record.value or b""
        match record.header("kind"):
            case kind if kind == ENTERED_KIND:
                return self.apply(record.offset, record.timestamp_ms, _decode_entered(value))
            case kind if kind == ENDED_KIND:
                return self.apply(record.offset, record.timestamp_ms, _decode_ended(value))
            case kind if kind == TICK_KIND:
                return self.apply(record.offset, record.timestamp_ms, _decode_tick(value))
            case kind:
                raise UnknownGateRecordError(
                    f"{record.topic}/{record.partition}/{record.offset} is of kind {kind!r}, which the "
                    "workflow gate does not know: it was written by a newer version of Penstock; run that"
                )

    def apply(self, offset: int, timestamp_ms: int, event: GateEvent) -> list[Effect]:
        """Fold what the next record says, at ``offset``; see ``take``."""
        match event:
            case EnteredJob():
                place = self._place(event.origin)
                self._advance(offset, timestamp_ms)
                self._enter(offset, place, event)
            case EndedJob():
                place = self._place(event.origin)
                self._advance(offset, timestamp_ms)
                self._end(place, event)
            case Tick():
                self._advance(offset, timestamp_ms)
                self._tick(event)
            case _:
                assert_never(event)
        effects, self._moves.effects = self._moves.effects, []
        return effects

    def _advance(self, offset: int, timestamp_ms: int) -> None:
        self._next_offset = offset + 1
        self._now_ms = max(self._now_ms, timestamp_ms)

    def _enter(self, offset: int, place: Origin, event: EnteredJob) -> None:
        key = key_of(event.job_id)
        workflow = self._workflow((event.tenant, event.workflow_id))
        known = workflow.nodes.get(key)
        if event.n > 1:
            self._reopen(workflow, workflow.node(key), offset, place, event)
        elif known is None and place in self._left:
            # Of a workflow that is forgotten; what was only just made for this record goes again.
            self._drop_if_empty(workflow)
        elif known is None or known.offset == NOWHERE:
            self._enter_first(workflow, workflow.node(key), offset, place, event)
        self._settle(workflow)

    def _reopen(self, workflow: Workflow, node: Node, offset: int, place: Origin, event: EnteredJob) -> None:
        """Let a job go on that a person opened again: it has passed once, or is to run all the same."""
        if event.n <= node.n or node.stage is Stage.SUCCEEDED:
            return
        node.place, node.n, node.passed_offset = place, event.n, offset
        node.own, node.urgency = event.urgency, event.urgency.joined(node.urgency)
        if node.stage is not Stage.RELEASED:
            self._moves.move(workflow, node, Stage.RELEASED)
        self._moves.effects.append(Passed(offset, event.n, inherits=node.inherits))

    def _enter_first(
        self, workflow: Workflow, node: Node, offset: int, place: Origin, event: EnteredJob
    ) -> None:
        if node.stage is Stage.EXPECTED and place in self._left:
            # Of a workflow that is forgotten, and named as a parent since.
            return
        has_ended = node.has_ended or node.stage is Stage.RELEASED
        node.offset, node.place, node.policy = offset, place, event.on_parent_failure
        if not has_ended:
            node.own, node.urgency = event.urgency, event.urgency.joined(node.urgency)
            node.stage = Stage.WAITING
            workflow.waiting += 1
        refusal = self._moves.join_group(workflow, node, event.group, self._now_ms) or self._moves.depend(
            workflow, node, event
        )
        if has_ended:
            node.parents, node.of_group = (), None
            return
        if refusal is not None:
            self._moves.refuse(workflow, node, refusal)
            return
        self._moves.look_at(workflow, node)
        self._settle(workflow)
        if node.stage is Stage.WAITING:
            self._moves.effects.append(Waits(offset, WAITS_ON))
            self._moves.raise_parents(node, self._now_ms)
            self._watch(workflow, node)

    def _watch(self, workflow: Workflow, node: Node) -> None:
        """See to it that a job that has come and waits is looked at again."""
        self._watch_parents(workflow, node)
        waits_for_waiting = node.of_group is not None or any(
            parent.stage is Stage.WAITING for parent in node.parents
        )
        children = chain(node.children, () if node.group is None else node.group.dependents())
        is_waited_for = any(child.stage is Stage.WAITING for child in children)
        if waits_for_waiting and is_waited_for:
            # Only the last job of a circle to come finds both.
            self._suspects.setdefault(workflow.key, self._now_ms)

    def _watch_parents(self, workflow: Workflow, node: Node) -> None:
        if lacks_parents(node):
            self._lacking.append(Watch(self._now_ms, workflow.key, node.key))

    def _end(self, place: Origin, event: EndedJob) -> None:
        workflow = self._workflow((event.tenant, event.workflow_id))
        node = workflow.node(key_of(event.job_id))
        if node.place is None:
            node.place = place
        if event.state is State.SUCCEEDED:
            if node.stage is not Stage.SUCCEEDED:
                node.verdict_offset, node.n = event.offset, event.n
                self._moves.move(workflow, node, Stage.SUCCEEDED)
        elif event.n >= node.n and (not node.has_ended or _is_closed_otherwise(node, event)):
            node.n = event.n
            self._moves.move(workflow, node, Stage.FAILED)
        elif node.stage is Stage.SKIPPED and node.verdict_offset == NOWHERE:
            node.verdict_offset = event.offset
            self._moves.look_at(workflow, node)
        self._settle(workflow)

    def _settle(self, workflow: Workflow) -> None:
        self._moves.settle(workflow)
        for node in self._moves.reopened:
            if node.stage is Stage.WAITING:
                self._moves.raise_parents(node, self._now_ms)
            self._watch_parents(workflow, node)
            self._suspects.setdefault(workflow.key, self._now_ms)
        self._moves.reopened = []
        if not workflow.is_over and not workflow.waiting and not workflow.alive:
            workflow.is_over = True
            self._over.append(Watch(self._now_ms, workflow.key))
        workflow.last_ms = self._now_ms

    def _tick(self, tick: Tick) -> None:
        """Do what is due."""
        while self._lacking and self._lacking[0].since_ms + tick.unknown_wait_ms <= self._now_ms:
            watch = self._lacking.popleft()
            if watch.workflow in self._workflows:
                self._miss_parents(self._workflow(watch.workflow), watch.job, tick.unknown_wait_ms)
        suspects, self._suspects = self._suspects, {}
        for key in suspects:
            if key in self._workflows:
                self._refuse_circles(self._workflow(key))
        while self._over and self._over[0].since_ms + tick.keep_ms <= self._now_ms:
            key = self._over.popleft().workflow
            if key in self._workflows:
                self._forget_if_over(self._workflow(key), tick.keep_ms)

    def _miss_parents(self, workflow: Workflow, key: bytes, waited_ms: int) -> None:
        node = workflow.nodes.get(key)
        if node is None or node.stage is not Stage.WAITING or not lacks_parents(node):
            return
        if workflow.alive:
            # What runs may still bring them.
            self._watch_parents(workflow, node)
        else:
            waited = f"it waited {waited_ms / 1000:g} s, and no job of its workflow runs any more"
            reason = f"{lacking(node)}; {waited}"
            self._moves.refuse(workflow, node, reason)
            self._settle(workflow)

    def _refuse_circles(self, workflow: Workflow) -> None:
        waiting = [node for node in workflow.nodes.values() if node.stage is Stage.WAITING]
        for circle in circles(waiting):
            way = [node.job_id for node in way_round(circle)]
            dots = ["..."] if len(way) > NAMED_MAX else []
            shown = " -> ".join([*way[:NAMED_MAX], *dots, way[0]])
            for node in circle:
                self._moves.refuse(workflow, node, f"jobs depend on one another in a circle: {shown}")
        self._settle(workflow)

    def _forget_if_over(self, workflow: Workflow, keep_ms: int) -> None:
        workflow.is_over = not workflow.waiting and not workflow.alive
        if workflow.is_over and workflow.last_ms + keep_ms <= self._now_ms:
            del self._workflows[workflow.key]
        elif workflow.is_over:
            self._over.append(Watch(self._now_ms, workflow.key))

    def _drop_if_empty(self, workflow: Workflow) -> None:
        if not workflow.nodes:
            workflow.is_over = True
            del self._workflows[workflow.key]

    def _workflow(self, key: WorkflowKey) -> Workflow:
        """Give a workflow to change, apart from the image that may still show it."""
        workflow = self._workflows.get(key)
        if workflow is None:
            workflow = self._workflows[key] = Workflow(key)
        elif self._image is not None:
            self._image.keep(workflow)
        return workflow

    def image(self) -> WorkflowImage:
        """See ``core.gates.fold.GateFold.image``; bitmaps and the list of workflows are copied."""
        watches = {
            _LACKING: list(self._lacking),
            _OVER: list(self._over),
            _SUSPECT: [Watch(since_ms, key) for key, since_ms in self._suspects.items()],
        }
        state = GateState(self._next_offset, self._now_ms, self._left.copy(), dict(self._workflows), watches)
        self._image = WorkflowImage(state)
        return self._image

    @classmethod
    def restored(cls, epoch: str, frames: Iterable[Frame]) -> Self:
        """See ``core.gates.fold.GateFold.restored``."""
        state, gate = restored_state(epoch, frames), cls(epoch)
        gate._next_offset, gate._now_ms = state.next_offset, state.now_ms
        gate._left, gate._workflows = state.left, state.workflows
        gate._moves = Moves(state.left)
        gate._lacking.extend(Watch(*watch) for watch in state.watches.get(_LACKING, ()))
        gate._over.extend(Watch(*watch) for watch in state.watches.get(_OVER, ()))
        gate._suspects = {key: since_ms for since_ms, key, _ in state.watches.get(_SUSPECT, ())}
        return gate

    def _place(self, origin: str) -> Origin:
        place = Origin.parse(origin)
        if place.epoch != self._epoch:
            raise WrongEpochError(
                f"a gate record names origin {origin}, but this service runs on epoch {self._epoch}: "
                "the topics were recreated or the service points at another cluster"
            )
        # Places are kept: one text of the epoch for all.
        return Origin(self._epoch, place.partition, place.offset)


def _is_closed_otherwise(node: Node, event: EndedJob) -> bool:
    """Whether a job the gate skipped had ended before that: then no parent brings it back."""
    is_first = node.verdict_offset == NOWHERE
    return node.stage is Stage.SKIPPED and is_first and event.state is not State.SKIPPED
