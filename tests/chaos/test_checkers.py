"""Every checker fails on what it is there to find, and finds nothing in a run that was right."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from core.ledger.fold import LedgerFold
from core.ledger.verdicts import Claimed
from core.log import Record
from penstock.demo.sent import SendOutcome
from tests.chaos.case import Case, Submitted
from tests.chaos.checkers import delivery, effects, hops, ledger, letters, offsets, secrets, table
from tests.chaos.checkers.everything import (
    CASE_CHECKS,
    EVIDENCE_CHECKS,
    CaseCheck,
    EvidenceCheck,
    check_everything,
)
from tests.chaos.commits import CommitLog
from tests.chaos.evidence import Clocks, Evidence, Overlaps, SendProblem, Violation
from tests.chaos.orders import Kind
from tests.chaos.stories import (
    PID,
    ROUTES,
    START_MS,
    Story,
    cancelled,
    evidence,
    failing,
    flaky,
    healthy_cases,
    lost,
    order_of,
    plain,
    watched,
)
from tests.chaos.watch import Committed, Fall


def test_a_run_that_was_right_violates_nothing() -> None:
    found = check_everything(evidence(*healthy_cases(), watch=watched(committed=99, ledger_end=10_000)))
    assert found.violations == []
    assert found.jobs == 6
    assert found.repeats == {"lost: lease_lapsed": 1}
    assert found.table_equals_log


def dropped_message() -> Evidence:
    return evidence(sends=[SendProblem(8, SendOutcome.OK, 0, "at 0/8")])


def message_never_taken_in() -> Evidence:
    case = plain().case()
    return evidence(replace(case, events=[], effects=[], rows={}))


def valid_job_rejected() -> Evidence:
    case = Case("x", [Submitted(0, 1, START_MS, order_of(1), SendOutcome.OK, "unknown_field", 0)])
    return evidence(case)


def job_that_never_ends() -> Evidence:
    return evidence(Story(1, order_of(1)).claim().begin().case())


def good_work_ends_dead() -> Evidence:
    return evidence(Story(1, order_of(1)).claim().run(outcome="ValueError").fail().die().case())


def closed_twice() -> Evidence:
    """Two endings that both count, as a fold without the rule "the first holds" would have it."""
    case = plain().case()
    last = case.events[-1]
    return evidence(replace(case, events=[*case.events, last._replace(offset=last.offset + 1)]))


def ran_without_being_sent() -> Evidence:
    return evidence(replace(plain().case(), records=[]))


def ran_twice() -> Evidence:
    case = plain().case()
    again = case.effects[0]._replace(seq=9, pid=78)
    return evidence(replace(case, effects=[*case.effects, again]))


def ran_without_a_claim() -> Evidence:
    case = plain().case()
    again = case.effects[0]._replace(dispatch=2)
    return evidence(replace(case, effects=[*case.effects, again]))


def ran_before_it_was_due() -> Evidence:
    case = flaky().case()
    early = [row._replace(at_ms=row.at_ms - 350) if row.dispatch == 2 else row for row in case.effects]
    return evidence(replace(case, effects=early))


def started_before_the_last_was_closed() -> Evidence:
    case = lost().case()
    early = [row._replace(at_ms=START_MS + 250) if row.dispatch == 2 else row for row in case.effects]
    return evidence(replace(case, effects=early))


def success_without_work() -> Evidence:
    return evidence(Story(1, order_of(1)).claim().succeed().case())


def attempts_overlap() -> Evidence:
    """The first attempt's process shows signs of life while the second runs."""
    case = lost().case()
    second = next(row for row in case.effects if row.dispatch == 2)
    return replace(evidence(case), marks={(PID, 5): second.at_boot_s + 0.05})


def illegal_transition() -> Evidence:
    """A success whose claim is missing from the log."""
    case = plain().case()
    return evidence(replace(case, events=[one for one in case.events if not isinstance(one.event, Claimed)]))


def refused_verdict_that_should_hold() -> Evidence:
    case = plain().case()
    assert case.events[1].outcome is not None
    refused = case.events[1]._replace(outcome=replace(case.events[1].outcome, holds=False))
    return evidence(replace(case, events=[case.events[0], refused, *case.events[2:]]))


def too_many_attempts() -> Evidence:
    story = Story(1, order_of(1, Kind.FAILING))
    for n in range(1, 5):
        story.claim(n).run(n, outcome="ValueError").fail(n)
        story = story.die(n) if n == 4 else story.retry(n)
    return evidence(story.case())


def retry_far_too_late() -> Evidence:
    story = Story(1, order_of(1, Kind.FLAKY)).claim().run(outcome="ValueError").fail().retry(after_ms=60_000)
    return evidence(story.claim(2).run(2).succeed(2).case())


def corrupted_row() -> Evidence:
    case = plain().case()
    case.rows[f"jobs/{case.job_id}"]["state"] = "dead"
    return evidence(case)


def missing_row() -> Evidence:
    case = plain().case()
    del case.rows[f"job_attempts/{case.job_id}/1"]
    return evidence(case)


def table_left_behind() -> Evidence:
    return evidence(table_problem="the table is behind")


def letter_without_a_cause() -> Evidence:
    case = failing().case()
    return evidence(replace(case, letters=[one._replace(error_class="") for one in case.letters]))


def closure_without_its_letter() -> Evidence:
    case = flaky().case()
    return evidence(replace(case, letters=[]))


def dead_job_without_a_letter() -> Evidence:
    case = failing().case()
    return evidence(replace(case, letters=[one for one in case.letters if not one.is_dead]))


def offset_moved_back() -> Evidence:
    log = watched(committed=9, ledger_end=10_000)
    log.see({Committed(ROUTES.group("ingest"), ROUTES.jobs, 0): 4}, {})
    return evidence(watch=log)


def commit_went_back() -> Evidence:
    """Between two looks, so that nobody saw it."""
    log = CommitLog()
    log.take(committed(offset) for offset in (4, 9, 8, 9))
    return evidence(commits=log)


def committed(offset: int, partition: int = 0) -> Record:
    group, topic = ROUTES.group("ingest").encode(), ROUTES.jobs.encode()
    names = b"".join(struct.pack(">h", len(name)) + name for name in (group, topic))
    key = struct.pack(">h", 1) + names + struct.pack(">i", partition)
    return Record("__consumer_offsets", 0, 0, 0, key, struct.pack(">hq", 3, offset), ())


def committed_before_the_hand_over() -> Evidence:
    """Everything was seen committed while the ledger was still empty."""
    return evidence(*healthy_cases(), watch=watched(committed=99, ledger_end=0))


def dispatch_that_went_nowhere() -> Evidence:
    case = plain().case()
    case.hops = [hop for hop in case.hops if hop.topic == ROUTES.ready]
    return evidence(case, watch=watched())


def wait_that_went_nowhere() -> Evidence:
    """The retry was put into the wheel, the wheel's offset committed, and nothing came out."""
    case = flaky().case()
    case.hops = [hop for hop in case.hops if hop.n == 1 or hop.topic == ROUTES.delay(0)]
    return evidence(case, watch=watched())


def committed_before_the_dispatch() -> Evidence:
    return evidence(plain().case(), watch=watched(hops_end=0))


def dispatch_nobody_decided() -> Evidence:
    story = plain().travel(2, ROUTES.execution("default", 0))
    return evidence(story.case())


def dispatch_ahead_of_its_decision() -> Evidence:
    case = flaky().case()
    case.hops = [hop._replace(at_ms=START_MS) for hop in case.hops]
    return evidence(case)


def dispatch_of_a_job_never_accepted() -> Evidence:
    return evidence(replace(plain().case(), events=[]))


def offset_ahead_of_the_table() -> Evidence:
    return evidence(watch=watched(table=51))


def secret_in_a_log() -> Evidence:
    return evidence(leaks=["executor-0.log, line 7"])


PLANTED: list[tuple[str, CaseCheck | EvidenceCheck, Callable[[], Evidence]]] = [
    ("I1", delivery.sends_agree_with_the_log, dropped_message),
    ("I1", delivery.records_are_accounted_for, message_never_taken_in),
    ("I1", delivery.records_are_accounted_for, valid_job_rejected),
    ("I2", delivery.jobs_end_once, job_that_never_ends),
    ("I2", delivery.jobs_end_once, closed_twice),
    ("I2", delivery.jobs_end_as_their_work, good_work_ends_dead),
    ("I3", delivery.nothing_foreign_runs, ran_without_being_sent),
    ("I4", effects.dispatches_start_once, ran_twice),
    ("I4", effects.successes_did_their_work, success_without_work),
    ("I4", effects.attempts_do_not_overlap, attempts_overlap),
    ("I5", table.rows_are_the_fold, corrupted_row),
    ("I5", table.rows_are_the_fold, missing_row),
    ("I5", table.table_is_as_far_as_the_ledger, table_left_behind),
    ("I6", ledger.paths_are_legal, illegal_transition),
    ("I6", ledger.paths_are_legal, closed_twice),
    ("I6", ledger.another_reading_agrees, refused_verdict_that_should_hold),
    ("I7", effects.starts_are_claimed, ran_without_a_claim),
    ("I7", effects.attempts_start_after_the_last_was_closed, started_before_the_last_was_closed),
    ("I9", offsets.commits_never_go_back, commit_went_back),
    ("I9", offsets.offsets_never_move_back, offset_moved_back),
    ("I9", offsets.ingest_hands_over_first, committed_before_the_hand_over),
    ("I9", offsets.handlers_decide_first, committed_before_the_hand_over),
    ("I9", offsets.executors_claim_first, committed_before_the_hand_over),
    ("I9", offsets.tables_lead, offset_ahead_of_the_table),
    ("I9", hops.stages_hand_over_first, dispatch_that_went_nowhere),
    ("I9", hops.stages_hand_over_first, wait_that_went_nowhere),
    ("I9", hops.stages_hand_over_first, committed_before_the_dispatch),
    ("I7", hops.only_what_was_decided_travels, dispatch_nobody_decided),
    ("I7", hops.only_what_was_decided_travels, dispatch_ahead_of_its_decision),
    ("I3", hops.only_what_was_decided_travels, dispatch_of_a_job_never_accepted),
    ("I11", letters.letters_say_why, letter_without_a_cause),
    ("I11", letters.closures_have_their_letter, closure_without_its_letter),
    ("I11", letters.the_dead_have_their_letter, dead_job_without_a_letter),
    ("I12", effects.starts_are_claimed, ran_before_it_was_due),
    ("I12", ledger.retries_are_bounded, too_many_attempts),
    ("I12", ledger.retries_are_bounded, retry_far_too_late),
    ("I14", secrets.secrets_stay_secret, secret_in_a_log),
]


@pytest.mark.parametrize(
    ("invariant", "check", "plant"), PLANTED, ids=[f"{name}-{plant.__name__}" for name, _, plant in PLANTED]
)
def test_a_planted_violation_is_found(
    invariant: str, check: CaseCheck | EvidenceCheck, plant: Callable[[], Evidence]
) -> None:
    planted = plant()
    found = list(_made(check, planted))
    assert found, f"{check.__name__} finds nothing"
    assert invariant in {violation.invariant for violation in found}
    assert all(violation.what and violation.evidence for violation in found)
    assert check_everything(planted).counts[invariant]


def _made(check: CaseCheck | EvidenceCheck, planted: Evidence) -> Iterator[Violation]:
    if check in EVIDENCE_CHECKS:
        yield from check(planted)
        return
    for case in planted.cases():
        yield from check(case, planted)  # type: ignore[call-arg, arg-type]


def test_a_fold_in_which_the_last_claim_wins_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    case = plain().case()
    assert list(table.repetition_changes_nothing(case, evidence(case))) == []
    monkeypatch.setattr(LedgerFold, "may_claim", lambda *_: True)
    found = list(table.repetition_changes_nothing(case, evidence(case)))
    assert [violation.invariant for violation in found][:1] == ["I5"]
    assert "said again" in found[0].evidence


@pytest.mark.parametrize("clocks", [Clocks.SERVICES_JUMP, Clocks.BROKER_JUMPS])
def test_wrong_wall_clocks_are_not_held_against_anyone(clocks: Clocks) -> None:
    cases = [case for case in healthy_cases() if case.effects]
    for case in cases:
        case.effects = [row._replace(at_ms=row.at_ms - 7_200_000) for row in case.effects]
    assert check_everything(evidence(*cases)).counts["I7"]
    assert check_everything(evidence(*cases, clocks=clocks)).violations == []


def test_an_early_start_is_found_although_wall_clocks_are_wrong() -> None:
    case = flaky().case()
    case.effects = [
        row._replace(at_boot_s=row.at_boot_s - 0.35) if row.dispatch == 2 else row for row in case.effects
    ]
    found = check_everything(evidence(case, clocks=Clocks.SERVICES_JUMP))
    assert set(found.counts) == {"I7", "I12"}


@pytest.mark.parametrize(
    ("waits_ms", "violations"), [((400, 2_900), 0), ((2_900, 400), 1), ((400, 3_900), 1)]
)
def test_only_the_last_try_may_wait_until_an_outage_is_told(
    waits_ms: tuple[int, int], violations: int
) -> None:
    story = Story(1, order_of(1, Kind.FAILING))
    for n, wait_ms in enumerate(waits_ms, 1):
        story = story.claim(n).run(n, outcome="ValueError").fail(n).retry(n, after_ms=wait_ms)
    case = story.claim(3).run(3, outcome="ValueError").fail(3).die(3).case()
    assert len(list(ledger.retries_are_bounded(case, evidence(case)))) == violations


def test_an_offset_that_the_fault_itself_set_back_is_not_held_against_anyone() -> None:
    planted = offset_moved_back()
    assert check_everything(replace(planted, rewinds=frozenset({ROUTES.group("ingest")}))).violations == []


def test_what_the_broker_forgot_is_counted_and_held_against_nobody() -> None:
    planted, log = offset_moved_back(), CommitLog()
    log.take([committed(4), committed(9)])
    found = check_everything(replace(planted, commits=log))
    assert found.violations == []
    assert found.forgotten == {ROUTES.group("ingest"): 1}
    log.take([committed(4)])
    assert check_everything(replace(planted, commits=log)).counts["I9"] == 2


def test_commits_of_other_partitions_and_records_about_members_are_no_way_back() -> None:
    log = CommitLog()
    member = committed(0)._replace(key=struct.pack(">h", 2) + b"\0\1g")
    log.take([committed(9), committed(3, partition=1), member, committed(9)])
    assert (log.falls, log.commits) == ([], 3)


def test_an_offset_seen_lower_several_times_is_one_fall_until_it_falls_further() -> None:
    log = watched(committed=9)
    key = Committed(ROUTES.group("ingest"), ROUTES.jobs, 0)
    for offset in (4, 4, 5, 3, 9, 12):
        log.see({key: offset}, {})
    assert log.falls == [Fall(key, 9, 4), Fall(key, 4, 3)]
    assert [one.offset for one in log.sightings[key]] == [9, 12]


def test_what_was_trimmed_unread_proves_nothing() -> None:
    assert check_everything(replace(dispatch_that_went_nowhere(), has_gaps=True)).violations == []


def test_every_checker_has_been_shown_to_fail() -> None:
    shown = {check for _, check, _ in PLANTED} | {table.repetition_changes_nothing}
    assert shown == {*CASE_CHECKS, *EVIDENCE_CHECKS}


def test_a_cancelled_job_may_have_a_repeat_that_stands_before_it_in_the_log() -> None:
    case = cancelled().case()
    (record,) = case.records
    repeat = record._replace(offset=record.offset - 1, order=order_of(9, repeats=5))
    found = delivery.jobs_end_as_their_work(replace(case, records=[repeat, record]), evidence(case))
    assert list(found) == []


def test_an_overlap_that_is_explained_is_counted_with_its_cause() -> None:
    planted = replace(attempts_overlap(), overlaps=Overlaps.EXPLAINED)
    found = check_everything(planted)
    assert found.violations == []
    assert [(one.first, one.second, one.cause) for one in found.overlaps] == [(1, 2, "lost: lease_lapsed")]
