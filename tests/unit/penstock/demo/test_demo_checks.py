"""Each check holds on a clean run and finds the violation that is planted for it alone."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from penstock.demo.checks import CHECKS, check_all, dead_letters, duplicate_runs
from penstock.demo.effects import Effect, Effects
from penstock.demo.evidence import Evidence
from penstock.demo.report import as_json, percentile, report_of
from tests.support.demo_evidence import CLEAN, PLANTED, job, ran, row, with_effects, with_row


def broken(evidence: Evidence) -> set[str]:
    return {finding.check for finding in check_all(evidence) if not finding.holds}


def test_a_clean_run_holds() -> None:
    assert broken(CLEAN) == set()


@pytest.mark.parametrize(("check", "plant"), PLANTED.values(), ids=PLANTED)
def test_a_planted_violation_is_found_by_its_check_alone(
    check: str, plant: Callable[[Evidence], Evidence]
) -> None:
    assert broken(plant(CLEAN)) == {check}


def test_a_repeated_key_that_became_two_jobs_is_found() -> None:
    two = replace(CLEAN, jobs={**CLEAN.jobs, "d": job("d", 2)}, rows={**CLEAN.rows, "d": row("d", 2)})
    assert broken(with_effects(two, *ran("d", 1, 2))) == {"repeated keys ran once"}


def test_a_repeated_key_that_started_twice_is_found() -> None:
    assert "repeated keys ran once" in broken(with_effects(CLEAN, Effect("c", 1, 1, "start", 9.0, 1)))


def test_every_check_has_a_planted_violation() -> None:
    planted = {check for check, _ in PLANTED.values()} | {"repeated keys ran once"}
    assert {name for name, _ in CHECKS} == planted


def test_attempts_one_after_the_other_are_no_overlap() -> None:
    lines = [*ran("a", 1, 2, outcome="TransientError"), *ran("a", 2, 3, dispatch=2)]
    assert "no two dispatches of a job overlap" not in broken(
        replace(CLEAN, effects=Effects(tuple(lines), 0))
    )


def test_a_killed_dispatch_without_end_is_no_overlap_with_the_next() -> None:
    lines = (Effect("a", 1, 1, "start", 1.0, 9), *ran("a", 1.5, 3, dispatch=2))
    assert "no two dispatches of a job overlap" not in broken(replace(CLEAN, effects=Effects(lines, 0)))


def test_a_long_dispatch_overlaps_a_later_one_behind_a_short_one() -> None:
    lines = (*ran("a", 1, 9), *ran("a", 9, 9.5, dispatch=2), *ran("a", 8, 8.5, dispatch=3))
    (finding,) = [f for f in check_all(replace(CLEAN, effects=Effects(lines, 0))) if "overlap" in f.check]
    assert finding.violations == ("job a: dispatch 3 began 1000 ms before 1 ended",)


def test_a_job_lost_by_injected_faults_is_no_broken_promise() -> None:
    lost = row("a", 0, "dead")._replace(error_class="lost", error_message="its executor was lost 5 times")
    assert broken(with_row(CLEAN, lost)) == set()


def test_duplicate_runs_are_counted_beyond_the_first() -> None:
    again = Effect("a", 1, 1, "start", 5.0, 10)
    assert duplicate_runs(CLEAN) == 0
    assert duplicate_runs(with_effects(CLEAN, again, again)) == 2


def test_the_report_has_the_promised_figures() -> None:
    report = report_of(CLEAN, check_all(CLEAN))
    assert report._asdict() == {
        "submitted": 3,
        "succeeded": 2,
        "dead": 1,
        "rejected": 1,
        "repeated": 1,
        "duplicate_runs": 0,
        "table_equals_log": True,
        "wait_p50_ms": 200,
        "wait_p99_ms": 200,
        "end_to_end_p50_ms": 2000,
        "end_to_end_p99_ms": 2000,
        "jobs_per_second": 1.5,
        "seconds": 2.0,
        "verified": True,
    }


def test_the_json_object_names_violations_and_the_dead() -> None:
    evidence = replace(CLEAN, table_differences=("jobs/a: state",))
    findings = check_all(evidence)
    said = as_json(report_of(evidence, findings), evidence, findings)
    assert said["verified"] is False
    assert said["table_equals_log"] is False
    assert said["violations"] == {"the table equals a fresh fold of the ledger": ["jobs/a: state"]}
    assert said["dead_letters"] == [
        {"job_id": "b", "type": "email.send", "class": "permanent", "message": "no such address"}
    ]
    assert [dead.job_id for dead in dead_letters(evidence)] == ["b"]


def test_nothing_at_all_is_still_a_report() -> None:
    nothing = Evidence({}, frozenset(), {}, {}, (), {}, {}, Effects((), 0), ())
    report = report_of(nothing, check_all(nothing))
    assert (report.seconds, report.jobs_per_second, report.wait_p50_ms) == (0.0, 0.0, None)


@pytest.mark.parametrize(("share", "value"), [(0.5, 2), (0.99, 4), (0.0, 1), (1.0, 4)])
def test_percentiles_are_values_that_occurred(share: float, value: int) -> None:
    assert percentile([1, 2, 3, 4], share) == value
