"""What is counted as evidence, and how it is said."""

from typing import Any

from core.learning.preempt_evidence import Ran, evidence_of
from penstock.cli.models_preempt import as_members, ran_of, summary


def row(
    way: str, outcome: str | None, job: str | None, dispatches: int = 1, run_s: float = 2.0
) -> dict[str, Any]:
    return {"way": way, "arm": None, "outcome": outcome, "job": job, "dispatches": dispatches, "run_s": run_s}


def test_only_what_ran_for_no_reason_of_its_own_and_has_ended_counts() -> None:
    counted = [
        row("watched", "failed", "ended", 90, 300.0),
        row("sampled", "failed", "ended", 10, 50.0),
        row("watched", "failed", "succeeded", 3),
        row("watched", "succeeded", "succeeded", 7),
    ]
    others = [
        row("cheap", "succeeded", "succeeded", 50),
        row("budget", "failed", "ended", 50),
        row("diverted", "failed", "ended", 50),
        row("watched", "failed", None, 50),
        row("watched", None, "ended", 50),
    ]
    assert ran_of(counted + others) == Ran(succeeded=7, recovered=3, failed=100, failed_run_s=350.0)


def test_it_is_said_how_often_predictions_were_right() -> None:
    ran = Ran(7, 3, 100, 350.0)
    found = evidence_of(ran, 60.0)
    assert summary(ran, found).startswith(
        "103 of 110 dispatches above the point that ran have failed: 93.6% ["
    )
    assert summary(ran, found).endswith("retries saved the jobs of 3 of them")
    assert summary(Ran(), evidence_of(Ran(), 60.0)).startswith("No dispatch")
    members = as_members(ran, found, 60.0)
    assert (members["failed"], members["good"], members["cost_s"], members["good_job_s"]) == (
        100,
        10,
        600.0,
        60.0,
    )
