"""The jobs of a workflow as a graph: what the workflow gate remembers of each, and circles in it."""

from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import NamedTuple

from core.gates.dependencies import OnParentFailure
from core.urgency import LOWEST, Urgency
from penstock.identity import Origin


class Stage(IntEnum):
    """How far a job of a workflow is, as far as the gate's log says."""

    EXPECTED = 0
    """Named as a parent only."""
    WAITING = 1
    RELEASED = 2
    """Let on; or opened again after its end, which is no business of the gate."""
    SUCCEEDED = 3
    FAILED = 4
    """Ended in any other way, or refused by the gate."""
    SKIPPED = 5
    """Skipped by the gate; waits again when its parents are tried again."""


NAMED_MAX = 10
"""Ids named in an error; the rest are counted."""
PARENT_RESULTS_MAX = 1000
"""Parents whose results a child is told; as many as a list may name. Each takes about 50 bytes of it."""
FAILED_STAGES = frozenset({Stage.FAILED, Stage.SKIPPED})
NOWHERE = -1


def key_of(job_id: str) -> bytes:
    """Give the 16 bytes of an id."""
    return bytes.fromhex(job_id.replace("-", ""))


class Node:
    """A job. About 400 bytes with its entry in the workflow, and 16 for each edge."""

    __slots__ = (
        "children",
        "failed",
        "group",
        "key",
        "n",
        "of_group",
        "offset",
        "own",
        "parents",
        "passed_offset",
        "pending",
        "place",
        "policy",
        "stage",
        "urgency",
        "verdict_offset",
    )

    def __init__(self, key: bytes) -> None:
        self.key = key
        """16 bytes of the job id."""
        self.stage = Stage.EXPECTED
        self.n = 1
        """Dispatch that is waited for, or that ended."""
        self.place: Origin | None = None
        """None while neither the job nor its end was read."""
        self.offset = NOWHERE
        """Of the job in the gate's log."""
        self.verdict_offset = NOWHERE
        """Of its success in its home partition of the ledger; or, when it was skipped, of that."""
        self.policy = OnParentFailure.SKIP
        self.parents: tuple[Node, ...] = ()
        """Until it has ended, or while it is skipped: those in its list, each once."""
        self.pending = 0
        """Of these, how many have not succeeded."""
        self.failed = 0
        """Of these, how many have ended without success."""
        self.group: Group | None = None
        """The group it is a member of."""
        self.of_group: Group | None = None
        """The group it depends on, instead of ``parents`` and as long."""
        self.children: list[Node] = []
        """Who depends on it, until it has succeeded."""
        self.own = LOWEST
        """How urgent it came."""
        self.urgency = LOWEST
        """How urgent it is by all that has waited for it."""
        self.passed_offset = NOWHERE
        """Of the record it was let on with, last."""

    @property
    def job_id(self) -> str:
        """The job id as text."""
        digits = self.key.hex()
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    @property
    def inherits(self) -> Urgency | None:
        """How urgent it is, if that is more than how it came."""
        return None if self.urgency == self.own else self.urgency

    @property
    def has_ended(self) -> bool:
        """Whether it is over, well or not."""
        return self.stage >= Stage.SUCCEEDED

    @property
    def is_blocked(self) -> bool:
        """Whether a parent of it has ended without success."""
        return self.failed > 0 if self.of_group is None else self.of_group.failed > 0

    @property
    def is_ready(self) -> bool:
        """Whether nothing holds it back any more."""
        if self.of_group is not None:
            return self.of_group.is_over if self.policy is OnParentFailure.RUN else self.of_group.is_done
        return self.pending == (self.failed if self.policy is OnParentFailure.RUN else 0)


class Group:
    """Jobs of a workflow that one child depends on together, however many they are."""

    __slots__ = ("blocked_by", "children", "count", "failed", "members", "name", "succeeded", "urgency")

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = NOWHERE
        """How many members it has in the end, as sealed; NOWHERE before."""
        self.members: list[Node] = []
        self.succeeded = 0
        self.failed = 0
        """Members that have ended without success."""
        self.blocked_by: Node | None = None
        """The first of these, since there are any."""
        self.children: dict[OnParentFailure, list[Node]] = {}
        self.urgency = LOWEST
        """How urgent it is by all that has waited for it."""

    @property
    def is_full(self) -> bool:
        """Whether it is sealed and all its members are known."""
        return len(self.members) == self.count

    @property
    def is_done(self) -> bool:
        """Whether all its members have succeeded."""
        return self.succeeded == self.count

    @property
    def is_over(self) -> bool:
        """Whether all its members have ended."""
        return self.succeeded + self.failed == self.count

    def dependents(self) -> Iterator[Node]:
        """Give all who depend on it."""
        for children in self.children.values():
            yield from children


class Workflow:
    """The jobs of one (tenant, workflow_id)."""

    __slots__ = ("alive", "groups", "is_over", "key", "last_ms", "nodes", "waiting")

    def __init__(self, key: tuple[str, str]) -> None:
        self.key = key
        self.nodes: dict[bytes, Node] = {}
        self.groups: dict[str, Group] = {}
        self.waiting = 0
        self.alive = 0
        """Released and not ended: these may still bring further jobs."""
        self.last_ms = 0
        """Broker time of the last record about it."""
        self.is_over = False
        """An alarm is set to forget it."""

    def node(self, key: bytes) -> Node:
        """Give the job of that id, expected if it was never heard of."""
        node = self.nodes.get(key)
        if node is None:
            node = self.nodes[key] = Node(key)
        return node

    def group(self, name: str) -> Group:
        """Give the group of that name, open and empty if it was never heard of."""
        group = self.groups.get(name)
        if group is None:
            group = self.groups[name] = Group(name)
        return group


Vertex = Node | Group


def circles(waiting: Iterable[Node]) -> list[list[Node]]:
    """Give the sets of jobs that wait for one another, each job in at most one; linear in the edges.

    Strongly connected components (Tarjan, SIAM J. Comput. 1972) over waiting jobs and groups, without
    recursion: a chain may be as long as a workflow.
    """
    search = _Search()
    for node in waiting:
        if node not in search.number:
            search.run(node)
    return search.found


class _Search:
    def __init__(self) -> None:
        self.number: dict[Vertex, int] = {}
        self.found: list[list[Node]] = []
        self._low: dict[Vertex, int] = {}
        self._stack: list[Vertex] = []
        self._on_stack: set[Vertex] = set()

    def run(self, start: Vertex) -> None:
        path: list[tuple[Vertex, Iterator[Vertex]]] = [self._open(start)]
        while path:
            vertex, upwards = path[-1]
            following = next(upwards, None)
            if following is None:
                path.pop()
                if path:
                    above = path[-1][0]
                    self._low[above] = min(self._low[above], self._low[vertex])
                self._close(vertex)
            elif following not in self.number:
                path.append(self._open(following))
            elif following in self._on_stack:
                self._low[vertex] = min(self._low[vertex], self.number[following])

    def _open(self, vertex: Vertex) -> tuple[Vertex, Iterator[Vertex]]:
        self.number[vertex] = self._low[vertex] = len(self.number)
        self._stack.append(vertex)
        self._on_stack.add(vertex)
        return vertex, _waited_for(vertex)

    def _close(self, vertex: Vertex) -> None:
        if self._low[vertex] != self.number[vertex]:
            return
        component: list[Vertex] = []
        while not component or component[-1] is not vertex:
            component.append(self._stack.pop())
            self._on_stack.discard(component[-1])
        if len(component) > 1:
            self.found.append([one for one in component if isinstance(one, Node)])


def _waited_for(vertex: Vertex) -> Iterator[Vertex]:
    """Give what a vertex waits for and that waits itself."""
    match vertex:
        case Group():
            yield from (member for member in vertex.members if member.stage is Stage.WAITING)
        case Node() if vertex.of_group is not None:
            yield vertex.of_group
        case Node():
            yield from (parent for parent in vertex.parents if parent.stage is Stage.WAITING)


def way_round(circle: list[Node]) -> list[Node]:
    """Give one way round within jobs that wait for one another, each job followed by one it waits for."""
    inside = set(circle)
    at: dict[Node, int] = {}
    way: list[Node] = []
    node = min(circle, key=lambda one: one.key)
    while node not in at:
        at[node] = len(way)
        way.append(node)
        node = next(one for one in _jobs_above(node) if one in inside)
    return way[at[node] :]


def _jobs_above(node: Node) -> Iterable[Node]:
    return node.parents if node.of_group is None else node.of_group.members


def blocking_parent(node: Node) -> Node:
    """Give a parent that has ended without success, of a job that is blocked."""
    if node.of_group is not None:
        assert node.of_group.blocked_by is not None
        return node.of_group.blocked_by
    return next(parent for parent in node.parents if parent.stage in FAILED_STAGES)


class Parents(NamedTuple):
    """Where the results of a job's parents stand, by job id: offsets in the ledger, each at its home."""

    results: dict[str, int]
    omitted: str = ""
    """Why they are not given."""


def results_of(node: Node) -> Parents:
    """Say where the results of those of a job's parents stand that succeeded."""
    parents = node.parents if node.of_group is None else node.of_group.members
    if len(parents) > PARENT_RESULTS_MAX:
        return Parents({}, f"it has {len(parents)} parents, and results are given of {PARENT_RESULTS_MAX}")
    done = (parent for parent in parents if parent.stage is Stage.SUCCEEDED)
    return Parents({parent.job_id: parent.verdict_offset for parent in done})


def lacks_parents(node: Node) -> bool:
    """Whether nobody has submitted some parent of a waiting job."""
    if node.of_group is not None:
        return not node.of_group.is_full
    return any(parent.stage is Stage.EXPECTED for parent in node.parents)


def lacking(node: Node) -> str:
    """Say which parents of a waiting job nobody has submitted; empty when all are known."""
    group = node.of_group
    if group is None:
        unknown = [parent.job_id for parent in node.parents if parent.stage is Stage.EXPECTED]
        return f"no job of its workflow has the id {_listed(unknown)}, which it depends on" if unknown else ""
    if group.count == NOWHERE:
        return f"the group `{group.name}` it depends on was not sealed: no job says how many it has"
    if not group.is_full:
        return f"the group `{group.name}` it depends on has {len(group.members)} of {group.count} jobs"
    return ""


def _listed(job_ids: list[str]) -> str:
    rest = len(job_ids) - NAMED_MAX
    return ", ".join(job_ids[:NAMED_MAX]) + (f" and {rest} more" if rest > 0 else "")
