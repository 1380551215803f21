"""What must hold, looked at after every record that lands and every run that begins."""

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from core.ledger.fold import LedgerFold
from core.ledger.verdicts import Action, Cancel, Claimed, Decided, Failed, Redriven
from core.log import Record
from core.rows_table import Table, empty_table, gather
from core.states import TERMINAL, State
from schemas.codec import decode_accepted, decode_dead, decode_delayed, decode_queued
from schemas.ledger import FoldedEvent, LedgerFolds
from tests.model.executor import EPOCH, ROUTES
from tests.support.transitions import LEGAL


class Rule(Enum):
    """What was violated."""

    RAN_TWICE = "a dispatch ran twice"
    OVERLAP = "two attempts of a job ran at once"
    UNCLAIMED = "something ran without a claim that holds"
    OVER = "something began that was over in the log as far as known when its claim was read back"
    CANCELLED = "something began against a cancel known when its claim was read back"
    UNLEASED = "something began under a lease that was over"
    EARLY = "something began before it was due"
    TWIN = "two records of one key both ran"
    UNDECIDED = "something was carried out that was not decided"
    CHARGED = "a job was charged for an attempt that did not fail by itself"
    ILLEGAL = "a verdict that holds made an illegal transition"
    TABLE = "the table is not what the ledger says"
    STUCK = "a job never ended"
    CRASHED = "a step raised"


class Violation(Exception):  # noqa: N818 - it is what the walk looks for, not a failure of it
    """The first thing that went wrong, with the evidence."""

    def __init__(self, rule: Rule, evidence: str) -> None:
        super().__init__(f"{rule.value}: {evidence}")
        self.rule = rule


class Claim(NamedTuple):
    """A claim that holds."""

    offset: int
    boot_id: str


@dataclass
class Dispatch:
    """What the log says of one dispatch."""

    claim: Claim | None = None
    over_at: int | None = None
    """Ledger offset of its closure."""
    cancel_at: int | None = None
    due_ms: int = 0


@dataclass
class Oracle:
    """Folds everything as it lands, by the real rules."""

    law: LedgerFolds = field(default_factory=lambda: LedgerFolds(EPOCH, with_notes=True))
    states: dict[str, State] = field(default_factory=dict)
    ranks: dict[str, int] = field(default_factory=dict)
    ledger: list[FoldedEvent] = field(default_factory=list)
    dispatches: dict[str, Dispatch] = field(default_factory=dict)
    allowed: set[str] = field(default_factory=set)
    dead: set[str] = field(default_factory=set)
    began: set[str] = field(default_factory=set)
    running: dict[str, str] = field(default_factory=dict)
    """Dispatch by origin."""
    ran_as: dict[str, str] = field(default_factory=dict)
    """Origin by job id."""
    failed: set[str] = field(default_factory=set)
    table: Table = field(default_factory=empty_table)
    origins: dict[str, str] = field(default_factory=dict)
    """By job id, of the last verdict that held; a cancel may name the id alone."""
    reopenable: dict[str, int] = field(default_factory=dict)
    """Last dispatch of jobs that ended without success, by origin."""

    @property
    def fold(self) -> LedgerFold:
        return self.law.fold(0)

    def landed(self, record: Record) -> None:
        """Look at a record that has just been appended."""
        if record.topic == ROUTES.ledger:
            for event in self.law.take([record]):
                self._folded(event)
        elif record.topic == ROUTES.dead:
            last = decode_dead(record).last.job
            _check(f"{last.origin}/{last.n}" in self.dead, Rule.UNDECIDED, f"dead letter of {last.origin}")
        else:
            self._dispatched(record)

    def _dispatched(self, record: Record) -> None:
        if record.topic == ROUTES.ready:
            job = decode_accepted(record)
        elif record.topic.startswith("jobs.exec."):
            job = decode_queued(record).job
        elif record.topic.startswith("jobs.delay."):
            job = decode_delayed(record).job
        else:
            return
        key = f"{job.origin}/{job.n}"
        _check(job.n == 1 or key in self.allowed, Rule.UNDECIDED, f"dispatch {key} in {record.topic}")

    def _folded(self, event: FoldedEvent) -> None:
        self.ledger.append(event)
        gather(self.table, [event])
        outcome, verdict = event.outcome, event.event
        if outcome is None or not outcome.holds:
            return
        origin = verdict.origin or self.origins.get(verdict.job_id, "")
        self.origins[verdict.job_id] = origin
        self._note(event)
        overtook = isinstance(verdict, Cancel) and outcome.job is None and not verdict.origin
        if outcome.state is None or not origin or overtook:
            return
        before = self.states.get(origin, State.ACCEPTED)
        _check(outcome.state in LEGAL[before], Rule.ILLEGAL, f"{before} to {outcome.state} by {verdict}")
        is_hold_again = before is outcome.state is State.HELD
        climbs = outcome.rank > self.ranks.get(origin, 0) or is_hold_again
        _check(climbs, Rule.ILLEGAL, f"rank {self.ranks.get(origin)} to {outcome.rank} by {verdict}")
        self.states[origin], self.ranks[origin] = outcome.state, outcome.rank
        if outcome.state in TERMINAL and outcome.state is not State.SUCCEEDED:
            self.reopenable[origin] = 1 if outcome.job is None else outcome.job.n
        else:
            self.reopenable.pop(origin, None)

    def _note(self, event: FoldedEvent) -> None:
        """Keep what later checks ask for."""
        outcome, origin = event.outcome, event.event.origin
        assert outcome is not None
        match event.event:
            case Claimed(n=n, executor=boot_id):
                self.of(f"{origin}/{n}").claim = Claim(event.offset, boot_id)
            case Decided(n=n, action=Action.RETRY, due_ms=due_ms):
                self.allowed.add(f"{origin}/{n + 1}")
                self.of(f"{origin}/{n + 1}").due_ms = due_ms or 0
            case Decided(n=n, action=Action.DEAD):
                self.dead.add(f"{origin}/{n}")
            case Redriven(n=n):
                self.allowed.add(f"{origin}/{n}")
            case Cancel() if outcome.job is not None and outcome.job.claim is not None:
                claim = outcome.job.claim
                self.of(f"{claim.origin}/{claim.n}").cancel_at = event.offset
            case Failed(n=n):
                is_charged = f"{origin}/{n}" not in self.failed
                _check(not is_charged, Rule.CHARGED, f"{event.event}")
            case _:
                pass
        if outcome.closed_n and not outcome.late:
            self.of(f"{origin}/{outcome.closed_n}").over_at = event.offset

    def of(self, key: str) -> Dispatch:
        return self.dispatches.setdefault(key, Dispatch())

    def began_run(self, boot_id: str, key: str, job_id: str, known_end: int, now_ms: int) -> None:
        """Look at a run that begins; ``known_end`` is the ledger's end known at the claim's read-back."""
        origin, _, _ = key.rpartition("/")
        other = self.running.get(origin)
        _check(other is None, Rule.OVERLAP, f"{key} by {boot_id} beside {other}")
        _check(key not in self.began, Rule.RAN_TWICE, f"{key} by {boot_id}")
        dispatch = self.of(key)
        claim = dispatch.claim
        holds = claim is not None and claim.boot_id == boot_id and claim.offset < known_end
        _check(holds, Rule.UNCLAIMED, f"{key} by {boot_id}, of {claim}")
        over_at, cancel_at = dispatch.over_at, dispatch.cancel_at
        _check(over_at is None or over_at >= known_end, Rule.OVER, f"{key} by {boot_id}, over at {over_at}")
        is_in_time = cancel_at is None or cancel_at >= known_end
        _check(is_in_time, Rule.CANCELLED, f"{key} by {boot_id}, cancelled at {cancel_at}")
        _check(now_ms >= dispatch.due_ms, Rule.EARLY, f"{key} at {now_ms}, due {dispatch.due_ms}")
        first = self.ran_as.setdefault(job_id, origin)
        _check(first == origin, Rule.TWIN, f"{first} and {origin} of {job_id}")
        self.began.add(key)
        self.running[origin] = key

    def ended_run(self, key: str, *, task_failed: bool) -> None:
        """Note that a run is over."""
        self.running.pop(key.rpartition("/")[0], None)
        if task_failed:
            self.failed.add(key)

    def check_table(self, table: Table, position: int) -> None:
        """Compare a table with what the ledger up to its position says."""
        expected = self.table
        if position < len(self.ledger):
            expected = empty_table()
            gather(expected, self.ledger[:position])
        for name in ("jobs", "attempts"):
            ours, theirs = getattr(expected, name), getattr(table, name)
            for key in ours.keys() | theirs.keys():
                same = ours.get(key) == theirs.get(key)
                _check(same, Rule.TABLE, f"{name} {key}: {theirs.get(key)} instead of {ours.get(key)}")

    def has_ended(self, origin: str, job_id: str) -> bool:
        """Whether the job is terminal, also by a cancel that knew only its id."""
        fold = self.fold
        return fold.is_done(origin) or (origin not in fold.open and job_id in fold._cancels)


def _check(holds: bool, rule: Rule, evidence: str) -> None:
    if not holds:
        raise Violation(rule, evidence)
