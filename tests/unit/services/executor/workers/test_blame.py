"""Who pays for a dead worker."""

import pytest

from penstock.worker.frames import LoopState, Probed
from services.executor.workers.blame import Cause, Death, Victim, culprits, ending, outcome_of

VICTIM = Victim("o/1", run_s=5.0, limit_s=3.0)
LATE = frozenset({"a", "b"})
PRESENT = LATE | {"c"}


@pytest.mark.parametrize("cause", list(Cause))
def test_only_jobs_that_did_nothing_wrong_are_collateral(cause: Cause) -> None:
    outcome = outcome_of(Death(cause, -9), VICTIM, cohort=3)
    assert outcome.collateral is (cause in {Cause.TIMEOUT, Cause.CANCEL, Cause.STOPPED, Cause.LAPSED})
    assert (outcome.ok, outcome.error_class, outcome.cohort) == (False, "lost", 3)


def test_the_job_a_worker_was_killed_for_timed_out() -> None:
    outcome = outcome_of(Death(Cause.TIMEOUT, -9, frozenset({"o/1"})), VICTIM, cohort=1)
    assert (outcome.error_class, outcome.error_type, outcome.collateral) == ("timeout", "TaskTimeout", False)


@pytest.mark.parametrize("cause", [Cause.CANCEL, Cause.TIMEOUT])
def test_a_cancelled_job_a_worker_was_killed_for_ends_as_cancelled_whatever_else_was_late(
    cause: Cause,
) -> None:
    death = Death(cause, -9, culprits=frozenset({"o/1", "p/1"}), cancelled=frozenset({"o/1"}))
    outcome = outcome_of(death, VICTIM, cohort=3)
    assert (outcome.error_class, outcome.error_type, outcome.collateral) == ("permanent", "Cancelled", False)


def test_a_lone_job_is_said_to_have_been_alone() -> None:
    assert "alone" in outcome_of(Death(Cause.DIED, -11), VICTIM, cohort=1).message
    assert "3 jobs" in outcome_of(Death(Cause.DIED, -11), VICTIM, cohort=3).message


@pytest.mark.parametrize(
    ("probed", "expected"),
    [
        (None, LATE),
        (Probed(LoopState.TURNING, None), LATE),
        (Probed(LoopState.BLOCKED, None), LATE),
        (Probed(LoopState.BLOCKED, "gone"), LATE),
        (Probed(LoopState.BLOCKED, "c"), frozenset({"c"})),
    ],
)
def test_a_blocked_loop_is_blamed_on_its_holder_and_else_on_the_late(
    probed: Probed | None, expected: frozenset[str]
) -> None:
    assert culprits(LATE, PRESENT, probed) == expected


def test_an_ending_is_said_in_words() -> None:
    assert ending(3) == "exited with status 3"
    assert "SIGSEGV" in ending(-11)
    assert "signal 999" in ending(-999)
