"""I15: jobs of a workflow run after what they depend on, jobs of an ordering key one at a time and in order.

What these say is about several jobs, so one pass over the cases gathers what they need.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from core.states import TERMINAL, State
from penstock.identity import job_id_of_spawned
from tests.chaos.case import Case
from tests.chaos.evidence import Clocks, Evidence, Violation
from tests.chaos.orders import Order

WAITS_FIRST = frozenset({"job_id", "idempotency_key", "workflow_id", "run_at", "expires_at"})
"""A job with one of these has something else to pass before its key, and enters it some time later."""
OWN_ENDS = frozenset({State.CANCELLED, State.EXPIRED})
"""Ways in which a job ends that waits, whatever it waits for."""


class Member(NamedTuple):
    """What is kept of a job that has a workflow or an ordering key; times in milliseconds of the broker."""

    job_id: str
    order: Order
    partition: int
    """With ``offset``: its first record in ``jobs``."""
    offset: int
    state: State | None
    ended_ms: int | None
    claimed_ms: int | None
    """The first claim that holds."""
    began_s: float | None
    """Its first start, CLOCK_BOOTTIME."""
    done_s: float | None
    """The last end of its work, on the same clock."""

    @property
    def workflow(self) -> str | None:
        """Its workflow."""
        return self.order.options.get("workflow_id")

    @property
    def key(self) -> str | None:
        """Its ordering key."""
        return self.order.options.get("ordering_key")

    @property
    def depends_on(self) -> list[str] | dict[str, Any]:
        """What it depends on, as the producer wrote it."""
        asked: list[str] | dict[str, Any] = self.order.options.get("depends_on", [])
        return asked

    @property
    def is_careless(self) -> bool:
        """Whether it runs however those it depends on end."""
        return self.order.options.get("on_parent_failure") == "run"


class Members:
    """All jobs with a workflow or an ordering key."""

    def __init__(self) -> None:
        self.by_id: dict[str, Member] = {}
        self._groups: dict[tuple[str, str], list[Member]] = defaultdict(list)
        self.unsent: set[str] = set()
        """Jobs that no load sent: a task added them, or a schedule."""

    def take(self, case: Case) -> None:
        """Keep what is needed of a case."""
        order = case.order
        if order is None:
            self.unsent.add(case.job_id)
        if order is None or not {"workflow_id", "ordering_key"} & order.options.keys():
            return
        member = _member(case, order)
        self.by_id[member.job_id] = member
        if (group := order.options.get("group")) is not None:
            self._groups[member.workflow or "", group].append(member)

    def parents(self, child: Member) -> list[Member] | None:
        """Give what a job depends on; None when not all of it was seen."""
        asked = child.depends_on
        if isinstance(asked, dict):
            found = self._groups[child.workflow or "", asked["group"]]
            return found if len(found) == asked["count"] else None
        parents = [self.by_id[one] for one in asked if one in self.by_id]
        return parents if len(parents) == len(asked) else None

    def children(self) -> Iterator[tuple[Member, list[Member] | None]]:
        """Give every job that depends on others, with these."""
        for member in self.by_id.values():
            if member.depends_on:
                yield member, self.parents(member)


def _member(case: Case, order: Order) -> Member:
    claims = [event.timestamp_ms for event, _ in case.claims.values()]
    starts = [one.at_boot_s for one in case.effects if one.kind == "start"]
    ends = [one.at_boot_s for one in case.effects if one.kind == "end"]
    return Member(
        case.job_id,
        order,
        case.records[0].partition,
        case.records[0].offset,
        case.state,
        case.ended_ms,
        min(claims, default=None),
        min(starts, default=None),
        max(ends, default=None),
    )


def children_start_after_their_parents(members: Members, evidence: Evidence) -> Iterator[Violation]:
    """Ask that a job of a workflow was claimed, and its work begun, after all it depends on had ended."""
    for child, parents in members.children():
        if child.claimed_ms is None:
            continue
        for parent in parents or ():
            place = f"job {child.job_id} of {child.workflow}, parent {parent.job_id} ({parent.state})"
            if parent.state not in TERMINAL:
                yield Violation("I15", "a job ran although one it depends on has not ended", place)
            elif _is_before(child.claimed_ms, parent.ended_ms, evidence):
                said = f"{place}, claimed {child.claimed_ms}, ended {parent.ended_ms}"
                yield Violation("I15", "a job was claimed before one it depends on had ended", said)
            elif _is_before(child.began_s, parent.done_s):
                said = f"{place}, by {(parent.done_s or 0) - (child.began_s or 0):.3f} s"
                yield Violation("I15", "work began before that of one it depends on was done", said)


def children_end_as_their_parents(members: Members, evidence: Evidence) -> Iterator[Violation]:
    """Ask that a job was skipped when, and only when, one it depends on failed in some way and it minds."""
    for child, parents in members.children():
        place = f"job {child.job_id} of {child.workflow}, {child.state}"
        if parents is None:
            if not evidence.has_gaps:
                yield Violation("I15", "what a job depends on is not all there", place)
            continue
        if child.state not in TERMINAL or child.state in OWN_ENDS:
            continue
        failed = [parent for parent in parents if parent.state is not State.SUCCEEDED]
        minds = bool(failed) and not child.is_careless
        if minds and child.state is not State.SKIPPED:
            said = f"{place}; {failed[0].job_id} is {failed[0].state}"
            yield Violation("I15", "a job was not skipped although one it depends on failed", said)
        if child.state is State.SKIPPED and not minds:
            yield Violation("I15", "a job was skipped although nothing it depends on failed", place)


def added_jobs_are_there(members: Members, evidence: Evidence) -> Iterator[Violation]:
    """Ask that what a job added to its workflow was accepted when the job succeeded."""
    for member in members.by_id.values():
        if member.state is not State.SUCCEEDED or evidence.has_gaps:
            continue
        for number in range(member.order.payload.get("spawns", 0)):
            if job_id_of_spawned(member.job_id, f"part-{number}") not in members.unsent:
                said = f"job {member.job_id} of {member.workflow}, part-{number}"
                yield Violation("I15", "a job that another one added is not there", said)


def keys_run_one_at_a_time(members: Members, evidence: Evidence) -> Iterator[Violation]:
    """Ask that no job of an ordering key was claimed, or worked, before the one ahead of it had ended."""
    for key, line in _lines(members):
        for first, second in pairwise(sorted(line, key=lambda one: (one.claimed_ms or 0, one.ended_ms or 0))):
            place = f"{key}: job {second.job_id} behind {first.job_id} ({first.state})"
            if first.state not in TERMINAL:
                yield Violation("I15", "a job of a key ran although the one ahead has not ended", place)
            elif _is_before(second.claimed_ms, first.ended_ms, evidence):
                said = f"{place}, claimed {second.claimed_ms}, ended {first.ended_ms}"
                yield Violation("I15", "two jobs of an ordering key were out at once", said)
            elif _is_before(second.began_s, first.done_s):
                said = f"{place}, by {(first.done_s or 0) - (second.began_s or 0):.3f} s"
                yield Violation("I15", "two jobs of an ordering key worked at once", said)


def keys_keep_their_order(members: Members, _evidence: Evidence) -> Iterator[Violation]:
    """Ask that jobs of a key that stand in one partition of ``jobs`` ran as they stand there."""
    for key, line in _lines(members):
        partitions: dict[int, list[Member]] = defaultdict(list)
        for member in line:
            if not WAITS_FIRST & member.order.options.keys():
                partitions[member.partition].append(member)
        for partition, members_there in partitions.items():
            for first, second in pairwise(sorted(members_there, key=lambda one: one.offset)):
                if (second.claimed_ms or 0) < (first.claimed_ms or 0):
                    said = f"{key}: jobs/{partition}, {second.offset} ran before {first.offset}"
                    yield Violation("I15", "a job overtook another of its ordering key", said)


def _lines(members: Members) -> Iterator[tuple[str, list[Member]]]:
    """Give the jobs of each ordering key that were claimed."""
    lines: dict[str, list[Member]] = defaultdict(list)
    for member in members.by_id.values():
        if member.key is not None and member.claimed_ms is not None:
            lines[member.key].append(member)
    yield from lines.items()


def _is_before(at: float | None, other: float | None, evidence: Evidence | None = None) -> bool:
    """Whether something was done before something else, as far as that can be known."""
    if evidence is not None and evidence.clocks is Clocks.BROKER_JUMPS:
        return False
    return at is not None and other is not None and at < other


MembersCheck = Callable[[Members, Evidence], Iterator[Violation]]
MEMBERS_CHECKS: tuple[MembersCheck, ...] = (
    children_start_after_their_parents,
    children_end_as_their_parents,
    added_jobs_are_there,
    keys_run_one_at_a_time,
    keys_keep_their_order,
)
