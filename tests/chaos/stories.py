"""Stories of single jobs, told through the real fold, for tests of the checkers."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from core.ledger.fold import LedgerFold
from core.ledger.notes import Accepted, Note
from core.ledger.outcome import Outcome
from core.ledger.verdicts import Action, Cancel, Claimed, Decided, Failed, Lost, Released, Succeeded, Verdict
from core.log import TopicPartition
from penstock.demo.sent import SendOutcome
from schemas.ledger import FoldedEvent
from schemas.topics import RouteMap
from tests.chaos.case import Case, Hop, Letter, Submitted
from tests.chaos.checkers import table
from tests.chaos.effects import Effect
from tests.chaos.evidence import Evidence
from tests.chaos.orders import Kind, Order, Way
from tests.chaos.watch import TABLE, Committed, OffsetLog

EPOCH = "e0"
START_MS = 1_000_000
STEP_MS = 100
PID = 77
ROUTES = RouteMap(partitions=1)


@dataclass
class Story:
    """One job as it is told: each step appends what the services would, and the effects beside it."""

    number: int
    order: Order
    job_id: str = ""
    events: list[tuple[int, int, Verdict | Note]] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    hops: list[Hop] = field(default_factory=list)
    now_ms: int = START_MS
    offset: int = 0

    def __post_init__(self) -> None:
        self.job_id = f"01890000-0000-7000-8000-{self.number:012d}"
        self.offset = 1000 * self.number
        self.tell(
            Accepted(
                self.origin,
                self.job_id,
                "chaos.steady",
                "default",
                "default",
                5,
                START_MS,
                300.0,
                3,
                msgspec.Raw(b"{}"),
                2,
                "0" * 32,
            )
        )

    @property
    def origin(self) -> str:
        return f"{EPOCH}:0:{self.number}"

    def tell(self, event: Verdict | Note) -> "Story":
        self.now_ms += STEP_MS
        self.events.append((self.offset, self.now_ms, event))
        self.offset += 1
        return self

    def travel(self, n: int, topic: str, then: str = "") -> "Story":
        at = 100 * self.number + len(self.hops)
        self.hops.append(Hop(n, topic, 0, at, self.now_ms, self.origin, then))
        return self

    def claim(self, n: int = 1, by: str = "a", seq: int = 0) -> "Story":
        self.travel(n, ROUTES.ready).travel(n, ROUTES.execution("default", 0))
        topic = ROUTES.execution("default", 0)
        return self.tell(Claimed(self.origin, self.job_id, n, by, topic, 0, self.number, seq=seq))

    def run(self, n: int = 1, outcome: str = "ok", pid: int = PID) -> "Story":
        self.begin(n, pid)
        self.now_ms += STEP_MS
        return self._effect("end", n, outcome, pid)

    def begin(self, n: int = 1, pid: int = PID) -> "Story":
        self.now_ms += STEP_MS
        return self._effect("start", n, "", pid)

    def _effect(self, kind: str, n: int, outcome: str, pid: int) -> "Story":
        seq = len(self.effects)
        row = Effect(seq, kind, self.job_id, n, n, pid, 5, self.now_ms / 1000, self.now_ms, outcome)
        self.effects.append(row)
        return self

    def succeed(self, n: int = 1, by: str = "a") -> "Story":
        return self.tell(Succeeded(self.origin, self.job_id, n, by, self.now_ms, 0.1))

    def letter(self, n: int, *, is_dead: bool = False) -> int:
        at = 10 * self.number + len(self.letters)
        said = Letter(is_dead, 0, at, self.origin, n, n, "transient", "no")
        self.letters.append(said)
        return at

    def fail(self, n: int = 1, by: str = "a", error_class: str = "transient") -> "Story":
        at = self.letter(n)
        return self.tell(
            Failed(self.origin, self.job_id, n, by, self.now_ms, 0.1, error_class, "ValueError", "no", at)
        )

    def lose(self, n: int = 1, by: str = "a") -> "Story":
        return self.tell(Lost(self.origin, self.job_id, n, by, "lease_lapsed", self.letter(n)))

    def retry(self, n: int = 1, after_ms: int = 400) -> "Story":
        due_ms = self.now_ms + STEP_MS + after_ms
        self.tell(Decided(self.origin, self.job_id, n, Action.RETRY, "backoff", due_ms))
        self.travel(n + 1, ROUTES.delay(0), "ready")
        self.now_ms = due_ms
        return self

    def die(self, n: int = 1) -> "Story":
        self.tell(Decided(self.origin, self.job_id, n, Action.DEAD, "enough", error_class="transient"))
        self.letter(n, is_dead=True)
        return self

    def case(self) -> Case:
        fold = LedgerFold(EPOCH)
        events = [
            FoldedEvent(0, offset, at_ms, event, _outcome(fold, offset, at_ms, event))
            for offset, at_ms, event in self.events
        ]
        return Case(
            self.job_id,
            records=[Submitted(0, self.number, START_MS, self.order, SendOutcome.OK, None)],
            events=events,
            effects=list(self.effects),
            letters=list(self.letters),
            hops=list(self.hops),
            rows=table.image(events),
        )


def _outcome(fold: LedgerFold, offset: int, at_ms: int, event: Verdict | Note) -> Outcome | None:
    return fold.apply(offset, at_ms, event) if isinstance(event, Verdict) else None


def order_of(number: int, kind: Kind = Kind.STEADY, **more: Any) -> Order:
    return Order(number, kind, Way.RAW, **more)


def plain() -> Story:
    return Story(1, order_of(1)).claim().run().succeed()


def flaky() -> Story:
    story = Story(2, order_of(2, Kind.FLAKY)).claim().run(outcome="TransientError").fail().retry()
    return story.claim(2).run(2).succeed(2)


def failing() -> Story:
    return Story(3, order_of(3, Kind.FAILING)).claim().run(outcome="PermanentError").fail().die()


def lost() -> Story:
    story = Story(4, order_of(4)).claim().begin().lose().retry(after_ms=500)
    return story.claim(2, "b").run(2, pid=78).succeed(2, "b")


def cancelled() -> Story:
    story = Story(5, order_of(5, cancel_after_s=0.1))
    return story.tell(Cancel(story.origin, story.job_id, "chaos"))


def handed_back() -> Story:
    story = Story(6, order_of(6)).claim()
    story.tell(Released(story.origin, story.job_id, 1, "a", "drain")).retry(after_ms=0)
    return story.claim(2, "b").run(2).succeed(2, "b")


def poison() -> Case:
    order = order_of(9, Kind.POISON)
    return Case("jobs/0/9", [Submitted(0, 9, START_MS, order, SendOutcome.OK, "invalid_json", 0)])


def healthy_cases() -> list[Case]:
    stories = (plain(), flaky(), failing(), lost(), cancelled(), handed_back())
    return [*(story.case() for story in stories), poison()]


def evidence(*cases: Case, **more: Any) -> Evidence:
    return Evidence(cases=lambda: cases, routes=ROUTES, marks={(PID, 5): 0.0}, **more)


def watched(
    committed: int = 99, ledger_end: int = 10_000, hops_end: int = 10_000, table: int = 50
) -> OffsetLog:
    """Ingest and executor were seen at ``committed``, all others at the end; the table was at 50."""
    log = OffsetLog()
    offsets = {
        Committed(ROUTES.group("ingest"), ROUTES.jobs, 0): committed,
        Committed(ROUTES.group("dlq_handler"), ROUTES.ledger, 0): 10_000,
        Committed(ROUTES.group("executor.default"), "jobs.exec.default.b0", 0): committed,
        Committed(ROUTES.group("prioritizer"), ROUTES.ready, 0): 10_000,
        Committed(ROUTES.group("scheduler"), ROUTES.delay(0), 0): 10_000,
        Committed(ROUTES.group("scheduler"), ROUTES.gates, 0): 10_000,
        Committed(ROUTES.group("materializer"), ROUTES.ledger, 0): table,
    }
    ends = {
        ROUTES.ledger: ledger_end,
        ROUTES.rejected: 100,
        ROUTES.held: hops_end,
        ROUTES.workflows: hops_end,
        ROUTES.orders: hops_end,
        ROUTES.ready: hops_end,
        ROUTES.execution("default", 0): hops_end,
        TABLE: 50,
    }
    log.see(offsets, {TopicPartition(topic, 0): end for topic, end in ends.items()})
    return log
