"""Logs of the workflow gate, and its law said the slow way: everything is looked at again each time."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

from hypothesis import strategies as st

from core.gates.dependencies import OnParentFailure, ParentGroup
from core.gates.fold import Boosts, Effect, Passed, Refuses, Skips
from core.gates.workflow_gate import WorkflowGate
from core.gates.workflow_records import EndedJob, EnteredJob, GateEvent, Tick
from core.priority import DEFAULT_PRIORITY
from core.states import TERMINAL, State

EPOCH = "e"
JOBS = range(7)
GROUPS = ("g", "h")
FAILED = sorted(TERMINAL - {State.SUCCEEDED})
UNKNOWN_WAIT_MS, KEEP_MS = 50, 10**12
Fates = list[tuple[str, int]]
"""What happened to whom at one record: kind of effect and the job's number, sorted."""


@dataclass(frozen=True)
class Spec:
    """A job as it is submitted; every time it comes it is the same."""

    workflow: str
    parents: tuple[int, ...] | ParentGroup
    group: str | None
    policy: OnParentFailure
    priority: int = DEFAULT_PRIORITY


@dataclass(frozen=True)
class Enter:
    job: int
    n: int = 1


@dataclass(frozen=True)
class End:
    job: int
    n: int
    state: State


@dataclass(frozen=True)
class Time:
    """A tick; ``after_ms`` since the record before."""

    after_ms: int


Event = Enter | End | Time


@dataclass(frozen=True)
class Story:
    """Jobs, and a log about them."""

    specs: tuple[Spec, ...]
    log: tuple[Event, ...]


def job_id(number: int) -> str:
    return str(uuid.UUID(int=number + 1))


def origin(number: int) -> str:
    return f"{EPOCH}:0:{number}"


def specs() -> st.SearchStrategy[Spec]:
    parents: st.SearchStrategy[tuple[int, ...] | ParentGroup] = st.one_of(
        st.lists(st.sampled_from(JOBS), max_size=3).map(tuple),
        st.builds(ParentGroup, st.sampled_from(GROUPS), st.none() | st.integers(0, 3)),
    )
    return st.builds(
        Spec,
        st.sampled_from(["w", "w", "w", "v"]),
        parents,
        st.sampled_from([None, None, *GROUPS]),
        st.sampled_from(OnParentFailure),
        st.integers(0, 9),
    )


def events() -> st.SearchStrategy[Event]:
    job, n = st.sampled_from(JOBS), st.integers(1, 3)
    return st.one_of(
        st.builds(Enter, job),
        st.builds(Enter, job),
        st.builds(Enter, job, n),
        st.builds(End, job, n, st.just(State.SUCCEEDED)),
        st.builds(End, job, n, st.just(State.SUCCEEDED)),
        st.builds(End, job, n, st.sampled_from(FAILED)),
        st.builds(Time, st.integers(0, 60)),
    )


def stories(max_size: int = 40) -> st.SearchStrategy[Story]:
    return st.builds(
        Story,
        st.tuples(*(specs() for _ in JOBS)),
        st.lists(events(), max_size=max_size).map(tuple),
    )


def gate_event(story: Story, event: Event, keep_ms: int = KEEP_MS) -> GateEvent:
    match event:
        case Enter(job, n):
            spec = story.specs[job]
            parents = spec.parents
            named = parents if isinstance(parents, ParentGroup) else tuple(map(job_id, parents))
            return EnteredJob(
                origin(job),
                job_id(job),
                "t",
                spec.workflow,
                n,
                named,
                spec.group,
                spec.policy,
                spec.priority,
            )
        case End(job, n, state):
            offset = 1000 + job
            return EndedJob(origin(job), job_id(job), n, state, offset, "t", story.specs[job].workflow)
        case Time():
            return Tick(UNKNOWN_WAIT_MS, keep_ms)


def times(log: Iterable[Event]) -> list[int]:
    """Append times: a tick comes its time after the record before, everything else a millisecond after."""
    now_ms, stamps = 0, []
    for event in log:
        now_ms += event.after_ms if isinstance(event, Time) else 1
        stamps.append(now_ms)
    return stamps


def play(
    gate: WorkflowGate, story: Story, start: int = 0, end: int | None = None, keep_ms: int = KEEP_MS
) -> list[list[Effect]]:
    """Let the gate take the records from ``start`` on, and give the effects of each."""
    stamps = times(story.log)
    numbered = list(enumerate(story.log))[start:end]
    return [
        gate.apply(offset, stamps[offset], gate_event(story, event, keep_ms)) for offset, event in numbered
    ]


def fates(story: Story, effects: Iterable[Effect]) -> Fates:
    """Say who was let on, skipped and refused; who merely waits is left out."""
    found: Fates = []
    for effect in effects:
        if isinstance(effect, Passed | Skips | Refuses):
            entered = story.log[effect.offset]
            assert isinstance(entered, Enter)
            found.append((type(effect).__name__, entered.job))
    return sorted(found)


def priorities(story: Story, effects: Iterable[Effect]) -> dict[int, int]:
    """Say with which priority whom was let on, the last time when more than once."""
    found: dict[int, int] = {}
    for effect in effects:
        if isinstance(effect, Passed | Boosts):
            entered = story.log[effect.offset]
            assert isinstance(entered, Enter)
            own = story.specs[entered.job].priority
            found[entered.job] = own if effect.inherits is None else effect.inherits.priority
    return found


@dataclass
class Known:
    """What the naive gate knows of one job."""

    stage: str = "expected"
    n: int = 1
    has_come: bool = False
    is_echoed: bool = False
    """The end that follows from its being skipped was read."""


@dataclass
class NaiveGate:
    """The law, without a thought for its cost; nothing is ever forgotten."""

    story: Story
    known: dict[int, Known] = field(default_factory=dict)
    members: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    lacking_since: list[tuple[int, int]] = field(default_factory=list)
    now_ms: int = 0
    found: Fates = field(default_factory=list)
    raised: dict[int, int] = field(default_factory=dict)
    """Largest priority of what has waited for a job."""
    raised_groups: dict[tuple[str, str], int] = field(default_factory=dict)
    said: dict[int, int] = field(default_factory=dict)
    """Priority with which a job was let on last."""

    def take(self, stamp_ms: int, event: Event) -> Fates:
        self.found, self.now_ms = [], stamp_ms
        match event:
            case Enter(job, 1):
                self.enter(job)
            case Enter(job, n):
                self.reopen(job, n)
            case End(job, n, state):
                self.end(job, n, state)
            case Time():
                self.tick()
        self.settle()
        return sorted(self.found)

    def inherit(self) -> dict[int, int]:
        """Say with which priority whom the record taken last lets on, or lets on once more."""
        passed = {job for fate, job in self.found if fate == "Passed"}
        waiting = [job for job, known in self.known.items() if known.stage == "waiting"]
        # Once for each step that what is inherited may have to go up.
        for _ in JOBS:
            for job in waiting:
                self.raise_parents(job)
        let_on: dict[int, int] = {}
        for job, known in self.known.items():
            priority = max(self.story.specs[job].priority, self.raised.get(job, 0))
            if job in passed or (known.stage == "released" and priority > self.said[job]):
                let_on[job] = self.said[job] = priority
        return let_on

    def raise_parents(self, job: int) -> None:
        spec = self.story.specs[job]
        priority = max(spec.priority, self.raised.get(job, 0))
        if isinstance(spec.parents, ParentGroup):
            group = (spec.workflow, spec.parents.group)
            priority = self.raised_groups[group] = max(priority, self.raised_groups.get(group, 0))
        for parent in self.parents(job):
            if self.story.specs[parent].workflow == spec.workflow:
                self.raised[parent] = max(priority, self.raised.get(parent, 0))

    def get(self, job: int) -> Known:
        return self.known.setdefault(job, Known())

    def enter(self, job: int) -> None:
        known, spec = self.get(job), self.story.specs[job]
        if known.has_come:
            return
        known.has_come = True
        may_wait = known.stage == "expected"
        if may_wait:
            known.stage = "waiting"
        refused = False
        group = (spec.workflow, spec.group or "")
        if spec.group is not None:
            members = self.members.setdefault(group, [])
            refused = self.counts.get(group) == len(members)
            if not refused:
                members.append(job)
                self.raised[job] = max(self.raised.get(job, 0), self.raised_groups.get(group, 0))
        refused = refused or self.contradicts(job)
        if may_wait and refused:
            known.stage = "failed"
            self.found.append(("Refuses", job))
        self.settle()
        if known.stage == "waiting" and self.lacks(job):
            self.lacking_since.append((self.now_ms, job))

    def contradicts(self, job: int) -> bool:
        """Whether what the job depends on cannot be; seals the group if it can."""
        spec = self.story.specs[job]
        if not isinstance(spec.parents, ParentGroup):
            return job in spec.parents
        group = (spec.workflow, spec.parents.group)
        if job in self.members.get(group, []):
            return True
        count = spec.parents.count
        if count is None:
            return False
        if self.counts.get(group, count) != count or len(self.members.get(group, [])) > count:
            return True
        self.counts[group] = count
        return False

    def reopen(self, job: int, n: int) -> None:
        known = self.get(job)
        if n > known.n and known.stage != "succeeded":
            known.n, known.stage = n, "released"
            self.found.append(("Passed", job))

    def end(self, job: int, n: int, state: State) -> None:
        known = self.get(job)
        if state is State.SUCCEEDED:
            known.stage = "succeeded"
        elif n >= known.n and known.stage not in ("succeeded", "failed"):
            if known.stage == "skipped" and (known.is_echoed or state is State.SKIPPED):
                known.is_echoed = True
            else:
                known.stage, known.n = "failed", n

    def parents(self, job: int) -> list[int]:
        spec = self.story.specs[job]
        if isinstance(spec.parents, ParentGroup):
            return self.members.get((spec.workflow, spec.parents.group), [])
        return list(dict.fromkeys(spec.parents))

    def stage_for(self, job: int, parent: int) -> str:
        """Stage of a parent; one of another workflow is never heard of."""
        same = self.story.specs[job].workflow == self.story.specs[parent].workflow
        return self.get(parent).stage if same and parent in self.known else "expected"

    def lacks(self, job: int) -> bool:
        spec = self.story.specs[job]
        if isinstance(spec.parents, ParentGroup):
            group = (spec.workflow, spec.parents.group)
            return self.counts.get(group) != len(self.members.get(group, []))
        return any(self.stage_for(job, parent) == "expected" for parent in self.parents(job))

    def is_ready(self, job: int) -> bool:
        spec = self.story.specs[job]
        over = {"succeeded"} | ({"failed", "skipped"} if spec.policy is OnParentFailure.RUN else set())
        stages = [self.stage_for(job, parent) for parent in self.parents(job)]
        if isinstance(spec.parents, ParentGroup):
            count = self.counts.get((spec.workflow, spec.parents.group))
            return count is not None and sum(stage in over for stage in stages) == count
        return all(stage in over for stage in stages)

    def is_blocked(self, job: int) -> bool:
        return any(self.stage_for(job, parent) in ("failed", "skipped") for parent in self.parents(job))

    def settle(self) -> None:
        while any(self.change(job) for job in list(self.known)):
            pass

    def change(self, job: int) -> bool:
        known, skips = self.known[job], self.story.specs[job].policy is OnParentFailure.SKIP
        if known.stage == "skipped" and known.is_echoed and not self.is_blocked(job):
            known.stage, known.n = "waiting", known.n + 1
            if self.lacks(job):
                self.lacking_since.append((self.now_ms, job))
        elif known.stage == "waiting" and self.is_ready(job):
            known.stage = "released"
            self.found.append(("Passed", job))
        elif known.stage == "waiting" and skips and self.is_blocked(job):
            known.stage = "skipped"
            self.found.append(("Skips", job))
        else:
            return False
        return True

    def tick(self) -> None:
        due = [one for one in self.lacking_since if one[0] + UNKNOWN_WAIT_MS <= self.now_ms]
        self.lacking_since = [one for one in self.lacking_since if one not in due]
        for _, job in due:
            if self.known[job].stage != "waiting" or not self.lacks(job):
                continue
            workflow = self.story.specs[job].workflow
            if any(
                one.stage == "released" and self.story.specs[other].workflow == workflow
                for other, one in self.known.items()
            ):
                self.lacking_since.append((self.now_ms, job))
            else:
                self.known[job].stage = "failed"
                self.found.append(("Refuses", job))
                self.settle()
        circle = [job for job in self.known if job in self.above(job)]
        for job in circle:
            self.known[job].stage = "failed"
            self.found.append(("Refuses", job))

    def above(self, job: int) -> set[int]:
        """Everybody whom a waiting job waits for, directly or not, and who waits himself."""
        seen: set[int] = set()
        todo = [job] if self.known[job].stage == "waiting" else []
        while todo:
            one = todo.pop()
            for parent in self.parents(one):
                if parent not in seen and self.stage_for(one, parent) == "waiting":
                    seen.add(parent)
                    todo.append(parent)
        return seen
