"""The state of a workflow gate at one offset, as frames and back.

Workflows are written down one by one: by whoever wants the frames, or by the fold before it changes one.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec

from core.frames import Frame
from core.gates.dependencies import OnParentFailure
from core.gates.workflow_graph import NOWHERE, Group, Node, Stage, Workflow
from core.gates.workflow_records import WorkflowKey
from core.ledger.finished import FinishedJobs
from core.urgency import Urgency
from penstock.identity import Origin

LAYOUT = 1
SLICE = 500
"""Jobs encoded in one go, which no other thread can interrupt: about a millisecond."""
_HELD = (Stage.WAITING, Stage.SKIPPED)


class _Start(msgspec.Struct, frozen=True, tag="start", tag_field="frame"):
    layout: int
    next_offset: int
    now_ms: int


class _Bitmap(msgspec.Struct, frozen=True, tag="bitmap", tag_field="frame"):
    n: int
    partition: int


_Urgency = tuple[int, int | None]


class _Workflow(msgspec.Struct, frozen=True, tag="workflow", tag_field="frame"):
    """Begins a workflow; its groups in the order of their numbers.

    Of each its name, sealed count, who blocks it, and its urgency.
    """

    key: WorkflowKey
    last_ms: int
    is_over: bool
    groups: Sequence[tuple[str, int, int, _Urgency]]


_Job = tuple[bytes, int, int, int, int, int, int, str, int, int, list[int], _Urgency, _Urgency, int]
"""Id, stage, n, origin partition and offset, offset, verdict offset, policy, group, parent group, parents,
urgency as it came, urgency, offset it passed with.

Groups and parents by number within the workflow; a parent may stand further on."""


class _Jobs(msgspec.Struct, frozen=True, tag="jobs", tag_field="frame"):
    """Jobs of the workflow begun last."""

    jobs: list[_Job]


class _Watches(msgspec.Struct, frozen=True, tag="watches", tag_field="frame"):
    name: str
    watches: list[tuple[int, WorkflowKey, bytes]]


class _End(msgspec.Struct, frozen=True, tag="end", tag_field="frame"):
    pass


_AnyFrame = _Start | _Bitmap | _Workflow | _Jobs | _Watches | _End
_encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[_AnyFrame] = msgspec.json.Decoder(_AnyFrame)

Watches = Mapping[str, Sequence[tuple[int, WorkflowKey, bytes]]]


class GateState(NamedTuple):
    """What a fold is made of besides its offset."""

    next_offset: int
    now_ms: int
    left: FinishedJobs
    workflows: dict[WorkflowKey, Workflow]
    watches: Watches


class _Written(NamedTuple):
    frames: list[Frame]
    keep_from: int
    """NOWHERE: none of its jobs will be read again."""


class WorkflowImage:
    """See ``core.gates.fold.GateImage``; the workflows are shown as they were when it was made."""

    def __init__(self, state: GateState) -> None:
        self._state = state
        self._written: dict[WorkflowKey, _Written] = {}

    @property
    def next_offset(self) -> int:
        """See ``core.gates.fold.GateImage.next_offset``."""
        return self._state.next_offset

    def keep(self, workflow: Workflow) -> None:
        """Write a workflow down before it changes; costs nothing the second time."""
        key = workflow.key
        if key not in self._written and self._state.workflows.get(key) is workflow:
            self._written[key] = _written(workflow)

    def keep_from(self) -> int:
        """See ``core.gates.fold.GateImage.keep_from``."""
        return min(
            (one.keep_from for one in self._all() if one.keep_from != NOWHERE), default=self.next_offset
        )

    def frames(self) -> Iterator[Frame]:
        """See ``core.gates.fold.GateImage.frames``."""
        state = self._state
        yield _encode(_Start(LAYOUT, state.next_offset, state.now_ms)), b""
        for n, partition, data in state.left.bitmaps():
            yield _encode(_Bitmap(n, partition)), data
        for one in self._all():
            yield from one.frames
        for name, watches in state.watches.items():
            rest = iter(watches)
            while some := list(islice(rest, SLICE)):
                yield _encode(_Watches(name, some)), b""
        yield _encode(_End()), b""

    def _all(self) -> Iterator[_Written]:
        for key, workflow in self._state.workflows.items():
            if key not in self._written:
                # In a thread beside the fold: what changes meanwhile was kept before it changed.
                with contextlib.suppress(RuntimeError, LookupError):
                    self._written.setdefault(key, _written(workflow))
            yield self._written[key]


def _written(workflow: Workflow) -> _Written:
    numbers = {node: number for number, node in enumerate(workflow.nodes.values())}
    groups = {group: number for number, group in enumerate(workflow.groups.values())}
    listed = [
        (
            group.name,
            group.count,
            NOWHERE if group.blocked_by is None else numbers[group.blocked_by],
            group.urgency,
        )
        for group in groups
    ]
    head = _Workflow(workflow.key, workflow.last_ms, workflow.is_over, listed)
    frames = [(_encode(head), b"")]
    keep_from = min(
        (node.offset for node in numbers if node.stage in _HELD and node.offset != NOWHERE),
        default=NOWHERE,
    )
    nodes = iter(numbers)
    while some := list(islice(nodes, SLICE)):
        frames.append((_encode(_Jobs([_job(node, numbers, groups) for node in some])), b""))
    return _Written(frames, keep_from)


def _job(node: Node, numbers: dict[Node, int], groups: dict[Group, int]) -> _Job:
    place = node.place
    return (
        node.key,
        int(node.stage),
        node.n,
        *((place.partition, place.offset) if place is not None else (NOWHERE, NOWHERE)),
        node.offset,
        node.verdict_offset,
        str(node.policy),
        NOWHERE if node.group is None else groups[node.group],
        NOWHERE if node.of_group is None else groups[node.of_group],
        [numbers[parent] for parent in node.parents],
        node.own,
        node.urgency,
        node.passed_offset,
    )


def restored_state(epoch: str, frames: Iterable[Frame]) -> GateState:
    """Give the state an image was taken of.

    Raises
    ------
    msgspec.MsgspecError, ValueError
        These are not its frames.
    """
    left, workflows = FinishedJobs(), dict[WorkflowKey, Workflow]()
    watches: dict[str, list[tuple[int, WorkflowKey, bytes]]] = {}
    rest = iter(frames)
    start = _decoder.decode(next(rest, (b"", b""))[0])
    if not isinstance(start, _Start) or start.layout != LAYOUT:
        raise ValueError(f"a workflow gate does not begin with {start}")
    current: _Workflow | None = None
    jobs: list[_Job] = []
    for head, body in rest:
        match _decoder.decode(head):
            case _Bitmap(n, partition):
                left.put(n, partition, body)
            case _Jobs(some):
                jobs.extend(some)
            case _Watches(name, some):
                watches.setdefault(name, []).extend(some)
            case _Workflow() as following:
                _put(epoch, workflows, current, jobs)
                current, jobs = following, []
            case _End():
                _put(epoch, workflows, current, jobs)
                return GateState(start.next_offset, start.now_ms, left, workflows, watches)
            case again:
                raise ValueError(f"a workflow gate begins twice, with {again}")
    raise ValueError("a workflow gate has no end")


def _put(
    epoch: str, workflows: dict[WorkflowKey, Workflow], head: _Workflow | None, jobs: list[_Job]
) -> None:
    if head is None:
        return
    workflow = workflows[head.key] = Workflow(head.key)
    workflow.last_ms, workflow.is_over = head.last_ms, head.is_over
    groups = [workflow.group(name) for name, *_ in head.groups]
    nodes = [workflow.node(job[0]) for job in jobs]
    for group, (_, count, blocked_by, urgency) in zip(groups, head.groups, strict=True):
        group.count, group.urgency = count, Urgency(*urgency)
        group.blocked_by = None if blocked_by == NOWHERE else nodes[blocked_by]
    for node, job in zip(nodes, jobs, strict=True):
        _, stage, node.n, partition, offset, node.offset, node.verdict_offset, policy, *_ = job
        node.stage, node.policy = Stage(stage), OnParentFailure(policy)
        node.place = None if partition == NOWHERE else Origin(epoch, partition, offset)
        node.group = None if job[8] == NOWHERE else groups[job[8]]
        node.of_group = None if job[9] == NOWHERE else groups[job[9]]
        node.parents = tuple(nodes[number] for number in job[10])
        node.own, node.urgency, node.passed_offset = Urgency(*job[11]), Urgency(*job[12]), job[13]
        workflow.waiting += node.stage is Stage.WAITING
        workflow.alive += node.stage is Stage.RELEASED
    _connect(workflow)


def _connect(workflow: Workflow) -> None:
    """Make what follows from the jobs: who depends on whom, in the order of coming, and what is counted."""
    for node in sorted(workflow.nodes.values(), key=lambda one: one.offset):
        for parent in node.parents:
            if node.stage is not Stage.RELEASED and parent.stage is not Stage.SUCCEEDED:
                parent.children.append(node)
                node.pending += 1
                node.failed += parent.stage >= Stage.FAILED
        if node.of_group is not None and node.stage is not Stage.RELEASED:
            node.of_group.children.setdefault(node.policy, []).append(node)
        group = node.group
        if group is not None:
            group.members.append(node)
            group.succeeded += node.stage is Stage.SUCCEEDED
            group.failed += node.stage >= Stage.FAILED
