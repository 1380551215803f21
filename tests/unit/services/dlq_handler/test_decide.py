from collections.abc import Iterable

import msgspec
import pytest

from core.fault import FaultClass
from core.keeper import DeclareLost, LossReason, OpenClaim
from core.learning.preemption import Foreseen
from core.ledger.verdicts import (
    Action,
    Cancel,
    Chosen,
    Claimed,
    Decided,
    Failed,
    Lost,
    Preempted,
    Redriven,
    Released,
    Succeeded,
    Verdict,
)
from core.log import Coordinate, Record
from core.retrying.memory import RetryMemory
from core.signatures.shape import Group, Shape
from penstock.identity import home
from schemas.accepted_job import (
    AcceptedJob,
    FailedAttempt,
    PastAttempt,
    QueuedJob,
)
from schemas.codec import decode_accepted, decode_dead, decode_delayed, ledger_record
from schemas.ledger import FoldedEvent, LedgerFolds
from schemas.topics import RouteMap
from services.dlq_handler.choose import remember
from services.dlq_handler.decide import (
    Owed,
    Reopened,
    Uncarried,
    Undecided,
    after_hold,
    attempt_of_queued,
    carried_out,
    decision,
    failure_of,
    handed_on,
    lost_attempt,
    owed_by,
    policy_of,
    untold,
)

ROUTES = RouteMap(partitions=1)
ORIGIN, JOB_ID = "e:0:7", "00000000-0000-4000-8000-000000000001"
NOW_MS = 1_000_000
CLAIM = Claimed(ORIGIN, JOB_ID, 1, "x", "jobs.exec.default.b3", 0, 42)
FAILED = Failed(ORIGIN, JOB_ID, 1, "x", 0, 0.1, "transient", "Boom", "", dlq_offset=5)
LOST = Lost(ORIGIN, JOB_ID, 1, "x", "lease_lapsed", dlq_offset=6)
RELEASED = Released(ORIGIN, JOB_ID, 1, "x", "drain")
PREEMPTED = Preempted(ORIGIN, JOB_ID, 1, 0.9, dlq_offset=8)
RETRY = Decided(ORIGIN, JOB_ID, 1, Action.RETRY, "", due_ms=NOW_MS + 5000)
DEAD = Decided(ORIGIN, JOB_ID, 1, Action.DEAD, "no use", error_class="poison")
IN_DLQ = Coordinate("jobs.dlq", 0, 5)


class Ledger:
    """One partition, as the handler follows it."""

    def __init__(self) -> None:
        self.folds = LedgerFolds("e", with_notes=False)
        self.end = 0

    def take(self, *verdicts: Verdict) -> list[FoldedEvent]:
        records = []
        for verdict in verdicts:
            new = ledger_record(ROUTES, verdict)
            records.append(Record(new.topic, 0, self.end, NOW_MS, new.key, new.value, new.headers))
            self.end += 1
        return self.folds.take(records)

    def owed(self, *verdicts: Verdict) -> Owed:
        return owed_by(self.take(*verdicts), self.folds.fold, ROUTES.dlq, ROUTES.dead)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def job(**fields: object) -> AcceptedJob:
    plain = AcceptedJob(
        ORIGIN, JOB_ID, "t", "default", "default", msgspec.Raw(b"{}"), 5, 0, 10.0, 3, "0" * 16, "0" * 32
    )
    return msgspec.structs.replace(plain, **fields)


def attempt(**fields: object) -> FailedAttempt:
    plain = FailedAttempt(job(), "x", "transient", "Boom", "it broke", NOW_MS, traceback="tb")
    return msgspec.structs.replace(plain, **fields)


PAST = PastAttempt(1, "x", "transient", "Boom", "it broke", NOW_MS, 0.0)


def as_read(topic: str, value: bytes | None) -> Record:
    return Record(topic, 0, 0, NOW_MS, None, value, ())


@pytest.mark.parametrize(
    ("verdicts", "source"),
    [
        ([CLAIM, FAILED], IN_DLQ),
        ([CLAIM, LOST], Coordinate("jobs.dlq", 0, 6)),
        ([CLAIM, RELEASED], Coordinate("jobs.exec.default.b3", 0, 42)),
        ([PREEMPTED], Coordinate("jobs.dlq", 0, 8)),
    ],
)
def test_what_ended_without_success_is_owed_a_decision(
    ledger: Ledger, verdicts: list[Verdict], source: Coordinate
) -> None:
    owed = ledger.owed(*verdicts)
    assert [(item.verdict, item.source) for item in owed.undecided] == [(verdicts[-1], source)]
    assert owed.uncarried == []


@pytest.mark.parametrize(
    "verdicts",
    [
        [FAILED],
        [CLAIM, Succeeded(ORIGIN, JOB_ID, 1, "x", 0, 0.1)],
        [CLAIM, Cancel(ORIGIN, JOB_ID, by="me"), FAILED],
        [CLAIM, LOST, Succeeded(ORIGIN, JOB_ID, 1, "x", 0, 0.1)],
        [CLAIM, FAILED, Decided(ORIGIN, JOB_ID, 1, Action.HOLD, "")],
    ],
    ids=["never claimed", "succeeded", "cancelled", "succeeded late", "held"],
)
def test_what_is_settled_is_owed_nothing(ledger: Ledger, verdicts: list[Verdict]) -> None:
    assert ledger.owed(*verdicts) == Owed([], [], [])


REDRIVEN = Redriven(ORIGIN, JOB_ID, 2, ROUTES.dead, 0, 9, "desk")


def test_a_redriven_job_is_handed_on_from_its_dead_letter_once(ledger: Ledger) -> None:
    owed = ledger.owed(CLAIM, FAILED, DEAD, REDRIVEN, REDRIVEN)
    assert owed.reopened == [Reopened(REDRIVEN, Coordinate(ROUTES.dead, 0, 9))]
    (ready,) = handed_on(owed.reopened[0], attempt(job=job(n=1, attempt=3)), ROUTES, NOW_MS)
    assert ready.topic == ROUTES.ready
    read = decode_accepted(as_read(ready.topic, ready.value))
    assert (read.n, read.attempt) == (2, 1)


def test_a_redriven_job_of_a_workflow_enters_its_gate_again(ledger: Ledger) -> None:
    (item,) = ledger.owed(CLAIM, FAILED, DEAD, REDRIVEN).reopened
    (entered,) = handed_on(item, attempt(job=job(workflow_id="w")), ROUTES, NOW_MS)
    assert entered.topic == ROUTES.workflows


def test_a_redrive_that_was_claimed_since_or_came_from_elsewhere_is_owed_nothing(ledger: Ledger) -> None:
    elsewhere = msgspec.structs.replace(REDRIVEN, topic=ROUTES.workflows)
    assert ledger.owed(CLAIM, FAILED, DEAD, elsewhere).reopened == []
    again = Ledger()
    assert again.owed(CLAIM, FAILED, DEAD, REDRIVEN, msgspec.structs.replace(CLAIM, n=2)).reopened == []


def test_a_repeated_closure_is_owed_one_decision(ledger: Ledger) -> None:
    assert len(ledger.owed(CLAIM, FAILED, FAILED, LOST).undecided) == 1


@pytest.mark.parametrize("read_together", [True, False])
def test_a_decision_is_carried_out_from_the_closure_it_follows(ledger: Ledger, read_together: bool) -> None:
    if read_together:
        owed = ledger.owed(CLAIM, FAILED, RETRY)
    else:
        ledger.take(CLAIM, FAILED)
        owed = ledger.owed(RETRY)
    assert owed.undecided == []
    assert [(item.verdict, item.source, item.fault) for item in owed.uncarried] == [
        (RETRY, IN_DLQ, FaultClass.TRANSIENT)
    ]


def test_only_the_first_decision_is_carried_out(ledger: Ledger) -> None:
    owed = ledger.owed(CLAIM, FAILED, RETRY, DEAD)
    assert [item.verdict for item in owed.uncarried] == [RETRY]


@pytest.mark.parametrize(
    "after", [[Claimed(ORIGIN, JOB_ID, 2, "y", "t", 0, 1)], [Cancel(ORIGIN, JOB_ID, "me")]]
)
def test_a_retry_that_was_overtaken_is_not_carried_out(ledger: Ledger, after: list[Verdict]) -> None:
    assert ledger.owed(CLAIM, FAILED, RETRY, *after).uncarried == []


def test_a_diverted_dispatch_is_carried_out_from_its_own_record(ledger: Ledger) -> None:
    again = Preempted(ORIGIN, JOB_ID, 2, 0.9, dlq_offset=11)
    ledger.take(CLAIM, FAILED, RETRY, again)
    (item,) = ledger.owed(Decided(ORIGIN, JOB_ID, 2, Action.RETRY, "", due_ms=0)).uncarried
    assert item.source == Coordinate("jobs.dlq", 0, 11)


def decided(ledger: Ledger, verdicts: Iterable[Verdict], last: FailedAttempt, now_ms: int) -> Decided:
    (item,) = ledger.owed(*verdicts).undecided
    return decision(item, last, now_ms)


def test_a_decision_made_twice_differs_only_in_when_it_was_made() -> None:
    first = decided(Ledger(), [CLAIM, FAILED], attempt(), NOW_MS)
    second = decided(Ledger(), [CLAIM, FAILED], attempt(), NOW_MS + 77)
    assert first.due_ms is not None
    assert second == msgspec.structs.replace(first, due_ms=first.due_ms + 77)


def test_retry_after_and_the_tasks_own_rule_reach_the_decision(ledger: Ledger) -> None:
    asked = attempt(retry_after_s=60.0, retry_cap_s=0.5)
    due_ms = decided(ledger, [CLAIM, FAILED], asked, NOW_MS).due_ms
    assert due_ms is not None
    assert due_ms >= NOW_MS + 60_000


def test_of_two_limits_of_attempts_the_smaller_holds() -> None:
    assert policy_of(attempt()).max_attempts == 3
    assert policy_of(attempt(task_max_attempts=2)).max_attempts == 2
    assert policy_of(attempt(task_max_attempts=9)).max_attempts == 3


def uncarried(ledger: Ledger, verdict: Decided) -> Uncarried:
    ledger.take(CLAIM, FAILED)
    (item,) = ledger.owed(verdict).uncarried
    return item


def test_a_retry_goes_into_the_wheel_as_the_next_dispatch_until_it_is_due(ledger: Ledger) -> None:
    record = carried_out(uncarried(ledger, RETRY), attempt(), ROUTES, NOW_MS)
    delayed = decode_delayed(as_read(record.topic, record.value))
    assert record.topic == ROUTES.delay(2)
    assert (delayed.due_ms, delayed.then) == (RETRY.due_ms, "ready")
    assert delayed.job == job(n=2, attempt=2, past=(PAST,))


def test_a_retry_that_is_due_becomes_ready(ledger: Ledger) -> None:
    record = carried_out(uncarried(ledger, RETRY), attempt(), ROUTES, NOW_MS + 5000)
    assert record.topic == ROUTES.ready
    assert decode_accepted(as_read(record.topic, record.value)) == job(n=2, attempt=2, past=(PAST,))


def test_a_dead_letter_says_why_and_carries_the_last_attempt(ledger: Ledger) -> None:
    record = carried_out(uncarried(ledger, DEAD), attempt(), ROUTES, NOW_MS)
    dead = decode_dead(as_read(record.topic, record.value))
    assert record.topic == ROUTES.dead
    assert (dead.reason, dead.error_class, dead.failures, dead.losses) == ("no use", "poison", 1, 0)
    assert (dead.last, dead.dead_ms) == (attempt(), NOW_MS)


def test_a_dead_letter_that_would_not_fit_goes_without_its_traceback(ledger: Ledger) -> None:
    huge = attempt(job=job(payload=msgspec.Raw(b'"%s"' % (b"x" * 500_000))), traceback="t" * 500_000)
    record = carried_out(uncarried(ledger, DEAD), huge, ROUTES, NOW_MS)
    dead = decode_dead(as_read(record.topic, record.value))
    assert dead.last == msgspec.structs.replace(huge, traceback="")


def test_a_lost_claim_is_written_down_with_executor_and_reason() -> None:
    claim = OpenClaim(home(JOB_ID, 1), ORIGIN, JOB_ID, 1, "x", NOW_MS, IN_DLQ)
    written = lost_attempt(DeclareLost(claim, LossReason.NOT_HELD), job(), NOW_MS)
    assert (written.error_class, written.executor, written.job) == ("lost", "x", job())
    assert "not_held" in written.message


def test_a_handed_back_dispatch_keeps_the_job_as_it_was_queued() -> None:
    assert attempt_of_queued(QueuedJob(job(), 0, 3, 0.0)).job == job()


@pytest.mark.parametrize(("closure", "is_told_here"), [(LOST, True), (RELEASED, True), (FAILED, False)])
def test_learning_is_told_here_of_what_no_executor_ran_to_an_end(
    closure: Verdict, is_told_here: bool
) -> None:
    ledger = Ledger()
    owed = ledger.owed(CLAIM, closure)
    assert [item.verdict for item in untold(owed)] == ([closure] if is_told_here else [])


def foreseen(recent: float | None, usual: float | None) -> Foreseen:
    return Foreseen("m1", 0.95, 0.9, 30.0, recent, usual)


@pytest.mark.parametrize(
    ("recent", "usual", "action"),
    [
        (0.9, 0.85, Action.DEAD),
        (0.9, 0.2, Action.HOLD),
        (None, 0.2, Action.DEAD),
        (0.9, None, Action.DEAD),
        (0.0, 0.0, Action.DEAD),
    ],
)
def test_what_is_expected_to_fail_is_held_while_its_type_is_in_passing_trouble_and_else_dead(
    ledger: Ledger, recent: float | None, usual: float | None, action: Action
) -> None:
    [item] = ledger.owed(PREEMPTED).undecided
    last = attempt(error_class="predicted", foreseen=foreseen(recent, usual))
    decided = decision(item, last, NOW_MS)
    assert (decided.action, decided.policy) == (action, "preempt")
    assert decided == decision(item, last, NOW_MS + 5), "however often it is decided"
    assert "model m1" in decided.reason
    assert "95.0%" in decided.reason
    assert decided.error_class == ("predicted" if action is Action.DEAD else None)
    owed = ledger.owed(decided)
    assert len(owed.uncarried) == (action is Action.DEAD)


def test_a_hold_is_followed_by_a_dispatch_that_runs_for_good(ledger: Ledger) -> None:
    [item] = ledger.owed(PREEMPTED).undecided
    last = attempt(error_class="predicted", foreseen=foreseen(0.9, 0.2))
    ledger.owed(decision(item, last, NOW_MS))
    assert after_hold(last, 1, 0.8, NOW_MS + 999, 1000) is None
    over = after_hold(last, 1, 0.4, NOW_MS + 999, 1000)
    late = after_hold(last, 1, None, NOW_MS + 1000, 1000)
    assert over is not None
    assert late is not None
    assert "fails less often" in over.reason
    assert "long enough" in late.reason
    [uncarried] = ledger.owed(over, late).uncarried
    record = carried_out(uncarried, last, ROUTES, NOW_MS + 2000)
    following = decode_accepted(as_read(record.topic, record.value))
    assert (following.n, following.attempt) == (2, 1)


def test_a_failure_is_what_the_record_says_and_a_loss_names_no_executor(ledger: Ledger) -> None:
    (failed,) = ledger.owed(CLAIM, FAILED).undecided
    letter = FailedAttempt(
        job(), "x", "transient", "Boom", "no user 7", 0, traceback='  File "a.py", line 1, in f'
    )
    failure = failure_of(failed, letter)
    assert failure is not None
    assert failure.shape == Shape(Group("transient", "Boom", "a.py:f"), ("no", "user", "<num>"))
    assert failure.task_type == letter.job.type
    assert decision(failed, letter, NOW_MS, "00deadbeef00beef").signature == "00deadbeef00beef"
    gone = Undecided(LOST, failed.job, IN_DLQ)
    lost = failure_of(gone, FailedAttempt(job(), "x", "lost", "ExecutorLost", "executor x is gone", 0))
    assert lost is not None
    assert lost.shape == Shape(Group("lost", "ExecutorLost", ""), ("lease_lapsed",))
    for verdict in (RELEASED, PREEMPTED):
        assert failure_of(Undecided(verdict, failed.job, IN_DLQ), letter) is None


def test_a_decision_about_a_failure_is_logged_with_what_was_known(ledger: Ledger) -> None:
    (failed,) = ledger.owed(CLAIM, FAILED).undecided
    letter = FailedAttempt(job(max_attempts=3), "x", "transient", "Boom", "no", NOW_MS - 2000, run_s=0.5)
    decided = decision(failed, letter, NOW_MS, "s")
    assert decided.due_ms is not None
    assert (decided.policy, decided.propensity) == ("rule", 1.0)
    delay_s = (decided.due_ms - NOW_MS) / 1000
    assert decided.chosen == Chosen("rule", "transient", delay_s, "", (1.0, 2.0, 0.0, 0.5, -1.0, 0.0))
    letter = msgspec.structs.replace(letter, job=job(max_attempts=1))
    last = decision(failed, letter, NOW_MS, "s", RetryMemory(0.05))
    assert last.chosen == Chosen("rule", "transient", None, "", (1.0, 0.0, 0.0, 0.5, -1.0, 0.0))
    assert (last.action, last.propensity) == (Action.DEAD, 1.0)


def test_what_is_learned_chooses_with_known_chances_and_remembers_what_came_of_it(ledger: Ledger) -> None:
    memory, arms = RetryMemory(0.05), set()
    for number in range(300):
        origin = f"e:0:{1000 + number}"
        claim, failed = (msgspec.structs.replace(one, origin=origin) for one in (CLAIM, FAILED))
        (item,) = ledger.owed(claim, failed).undecided
        decided = decision(
            item, FailedAttempt(job(origin=origin), "x", "", "", "", NOW_MS), NOW_MS, "s", memory
        )
        assert decided.chosen is not None
        assert decided.chosen.generation == str(NOW_MS)
        assert decided.propensity == pytest.approx(0.95 if decided.policy == "rule" else 0.025)
        arms.add(decided.chosen.arm)
        for event in ledger.take(claim, failed, decided):
            if event.outcome is not None and event.outcome.holds:
                remember(memory, event)
    assert arms == {"rule", "planned", "quarter"}


def test_what_holds_of_failures_is_remembered(ledger: Ledger) -> None:
    memory = RetryMemory(0.0)
    after = msgspec.structs.replace(RETRY, chosen=Chosen("rule", "transient", 5.0))
    again = msgspec.structs.replace(CLAIM, n=2)
    events = ledger.take(CLAIM, FAILED, after, again, Succeeded(ORIGIN, JOB_ID, 2, "x", 0, 0.1))
    for event in events:
        remember(memory, event)
    assert len(memory) == 0
    assert memory.generation("transient", 0).ends == 1
    other = Ledger()
    for event in other.take(CLAIM, FAILED):
        remember(memory, event)
    assert len(memory) == 1
    for event in other.take(DEAD):
        remember(memory, event)
    assert len(memory) == 0
