"""What the checkers look at: facts of one scenario, before any judgement."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from core.log import TopicPartition
from penstock.demo.sent import SendOutcome
from schemas.topics import RouteMap
from tests.chaos.case import Case
from tests.chaos.effects import ProcessId
from tests.chaos.history import Line
from tests.chaos.watch import Committed, OffsetLog


class Violation(NamedTuple):
    """Something that must not be, with what shows it."""

    invariant: str
    """``I1`` to ``I14``, or ``claim`` for what one scenario promises beyond them."""
    what: str
    evidence: str


class Overlaps(Enum):
    """Whether two attempts of a job may have run at the same time."""

    FORBIDDEN = "forbidden"
    EXPLAINED = "allowed where a process could not be told to stop; counted with their cause"


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
    marks
        Last sign of life of each worker process, CLOCK_BOOTTIME in seconds.
    leaks
        Where a planted secret was found.
    samples
        One of so many jobs is folded again with repetitions; 1 is all of them.
    """

    cases: Callable[[], Iterable[Case]]
    routes: RouteMap = field(default_factory=RouteMap)
    sends: Sequence[SendProblem] = ()
    table_problem: str = ""
    watch: OffsetLog = field(default_factory=OffsetLog)
    marks: Mapping[ProcessId, float] = field(default_factory=dict)
    leaks: Sequence[str] = ()
    history: Sequence[Line] = ()
    overlaps: Overlaps = Overlaps.FORBIDDEN
    samples: int = 1

    def output_ends(
        self, group: str, topic: str, partition: int, offset: int
    ) -> Mapping[TopicPartition, int] | None:
        """Give where outputs ended when a service of this group was seen past a record; None: never."""
        return self.watch.ends_when_passed(Committed(self.routes.group(group), topic, partition), offset)
