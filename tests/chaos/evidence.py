"""What the checkers look at: facts of one scenario, before any judgement."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import NamedTuple

from core.log import TopicPartition
from penstock.demo.sent import SendOutcome
from schemas.topics import RouteMap
from tests.chaos.case import Case
from tests.chaos.commits import CommitLog
from tests.chaos.effects import Effect, ProcessId
from tests.chaos.history import Line
from tests.chaos.watch import Committed, EndsThen, OffsetLog


class Place(NamedTuple):
    """A record that shows that a hand-over was done."""

    partition: TopicPartition
    offset: int
    appended_ms: float = math.inf
    """By the broker's clock; infinite: not known."""


class Violation(NamedTuple):
    """Something that must not be, with what shows it."""

    invariant: str
    """``I1`` to ``I15``, or ``claim`` for what one scenario promises beyond them."""
    what: str
    evidence: str


class Overlaps(Enum):
    """Whether two attempts of a job may have run at the same time."""

    FORBIDDEN = "forbidden"
    EXPLAINED = "allowed where a process could not be told to stop; counted with their cause"


class Clocks(Enum):
    """Whose time may be compared with whose."""

    AGREE = "all processes and the broker"
    SERVICES_JUMP = "services' wall clocks are wrong: what tasks did is dated by the clock since boot"
    BROKER_JUMPS = "the broker's clock is wrong: its times are compared with nothing; the order of logs is"


class Stage(Enum):
    """Where a record with a dispatch in it waits."""

    GATES = "gates"
    WORKFLOW = "workflow"
    WHEEL = "wheel"
    ORDER = "order"
    HELD = "held"
    READY = "ready"
    EXECUTION = "execution"


class SendProblem(NamedTuple):
    """A send whose outcome and the log do not agree."""

    send: int
    outcome: SendOutcome
    records: int
    place: str


@dataclass(frozen=True)
class Evidence:
    """All facts of one round.

    Attributes
    ----------
    cases
        Gives every job the round is about, as often as it is called, one at a time.
    sends
        Sends whose outcome and whose records in the log do not fit together.
    table_problem
        Why the table could not be compared; empty when it could.
    watch, commits
        Committed offsets: as the broker answered when asked, and as they stand in its log.
    marks
        Last sign of life of each worker process, CLOCK_BOOTTIME in seconds.
    leaks
        Where a planted secret was found.
    clocks
        Which times may be compared.
    boot_ms
        The wall clock's time when CLOCK_BOOTTIME was zero, milliseconds.
    rewinds
        Groups (or ``stage_offsets``) whose offsets the fault itself set back.
    has_gaps
        Records were trimmed before they were read, so what is missing proves nothing.
    silences_s
        Longest time between two heartbeats of each boot id, by the broker's clock.
    lease_s
        Of the executors.
    samples
        One of so many jobs is folded again with repetitions; 1 is all of them.
    """

    cases: Callable[[], Iterable[Case]]
    routes: RouteMap = field(default_factory=RouteMap)
    sends: Sequence[SendProblem] = ()
    table_problem: str = ""
    watch: OffsetLog = field(default_factory=OffsetLog)
    commits: CommitLog = field(default_factory=CommitLog)
    marks: Mapping[ProcessId, float] = field(default_factory=dict)
    leaks: Sequence[str] = ()
    history: Sequence[Line] = ()
    overlaps: Overlaps = Overlaps.FORBIDDEN
    clocks: Clocks = Clocks.AGREE
    boot_ms: float = 0.0
    rewinds: frozenset[str] = frozenset()
    has_gaps: bool = False
    silences_s: Mapping[str, float] = field(default_factory=dict)
    lease_s: float = 0.0
    samples: int = 1

    @cached_property
    def stages(self) -> Mapping[str, Stage]:
        """Say which stage a topic is."""
        routes = self.routes
        executions = (topic for pool in routes.pools for topic in routes.executions(pool))
        return {
            routes.gates: Stage.GATES,
            routes.workflows: Stage.WORKFLOW,
            routes.orders: Stage.ORDER,
            routes.held: Stage.HELD,
            routes.ready: Stage.READY,
            **dict.fromkeys(routes.delays, Stage.WHEEL),
            **dict.fromkeys(executions, Stage.EXECUTION),
        }

    def started_ms(self, effect: Effect) -> float | None:
        """Give when something was done, in the broker's time; None when that cannot be known."""
        match self.clocks:
            case Clocks.AGREE:
                return effect.at_ms
            case Clocks.SERVICES_JUMP:
                return self.boot_ms + 1000 * effect.at_boot_s
            case Clocks.BROKER_JUMPS:
                return None

    def appended_ms(self, at_ms: int) -> float:
        """Give an append time that can be compared with this machine's clock; infinite when it cannot."""
        return math.inf if self.clocks is Clocks.BROKER_JUMPS else at_ms

    def output_ends(self, group: str, topic: str, partition: int, offset: int) -> EndsThen | None:
        """Give where outputs ended when a service of this group was seen past a record; None: never."""
        return self.watch.ends_when_passed(Committed(self.routes.group(group), topic, partition), offset)
