"""One test a rule of the ledger: which verdicts hold, and what becomes of the job."""

import pytest

from core.ledger.fold import LedgerFold, WrongEpochError
from core.ledger.open_job import OpenJob, Phase
from core.ledger.outcome import Outcome
from core.ledger.verdicts import Verdict
from core.states import State
from tests.support.verdicts import EPOCH, JOB_ID, ORIGIN, About

job = About()


class Ledger:
    """A fold and the offset it has come to."""

    def __init__(self, *verdicts: Verdict) -> None:
        self.fold = LedgerFold(EPOCH)
        self.last = Outcome(holds=False)
        self.say(*verdicts)

    def say(self, *verdicts: Verdict) -> Outcome:
        for verdict in verdicts:
            offset = self.fold.next_offset
            self.last = self.fold.apply(offset, 1000 + offset, verdict)
        return self.last

    @property
    def job(self) -> OpenJob:
        return self.fold.open[ORIGIN]


class TestClaims:
    def test_the_first_claim_of_a_dispatch_holds_and_the_job_runs(self) -> None:
        ledger = Ledger(job.claimed(by="a"))
        assert ledger.last.holds
        assert ledger.last.state is State.RUNNING
        assert ledger.fold.holds_claim(ORIGIN, 1, "a")

    def test_a_second_claim_is_refused_even_by_the_same_executor(self) -> None:
        ledger = Ledger(job.claimed(by="a"))
        assert not ledger.say(job.claimed(by="b")).holds
        assert not ledger.say(job.claimed(by="a")).holds
        assert (ledger.job.claim_ledger_offset, ledger.job.claim_timestamp_ms) == (0, 1000)

    def test_a_claim_of_a_job_that_ended_is_refused(self) -> None:
        ledger = Ledger(job.claimed(), job.succeeded())
        assert not ledger.say(job.claimed(1, "b")).holds
        assert not ledger.say(job.claimed(2, "b")).holds

    def test_a_later_dispatch_needs_the_decision_to_retry_the_one_before(self) -> None:
        ledger = Ledger(job.claimed(1), job.failed(1))
        assert not ledger.say(job.claimed(2)).holds
        assert ledger.say(job.retry(1)).holds
        assert ledger.say(job.claimed(2)).holds

    def test_a_dispatch_that_was_retried_is_not_claimed_again(self) -> None:
        ledger = Ledger(job.claimed(1), job.failed(1), job.retry(1))
        assert not ledger.say(job.claimed(1, "b")).holds

    def test_no_dispatch_is_skipped(self) -> None:
        assert not Ledger(job.claimed(2)).last.holds
        assert not Ledger(job.claimed(1), job.failed(1), job.retry(1), job.claimed(3)).last.holds

    def test_a_preempted_dispatch_is_not_claimed(self) -> None:
        assert not Ledger(job.preempted(), job.claimed()).last.holds

    def test_a_claim_against_a_pending_cancel_is_refused(self) -> None:
        assert not Ledger(job.cancel(), job.claimed()).last.holds


class TestClosures:
    def test_success_ends_the_job_and_says_which_dispatch_it_closed(self) -> None:
        ledger = Ledger(job.claimed(), job.succeeded())
        assert (ledger.last.state, ledger.last.closed_n) == (State.SUCCEEDED, 1)
        assert ledger.fold.is_done(ORIGIN)
        assert ORIGIN not in ledger.fold.open

    def test_failure_leaves_the_job_to_a_decision_and_uses_up_an_attempt(self) -> None:
        ledger = Ledger(job.claimed(), job.failed())
        assert ledger.last.state is State.RETRYING
        assert (ledger.job.phase, ledger.job.failures, ledger.job.attempt) == (Phase.CLOSED, 1, 2)

    def test_a_loss_uses_up_no_attempt_but_counts_as_a_loss(self) -> None:
        ledger = Ledger(job.claimed(), job.lost())
        assert ledger.last.state is State.RETRYING
        assert (ledger.job.attempt, ledger.job.losses) == (1, 1)

    def test_a_release_uses_up_neither(self) -> None:
        ledger = Ledger(job.claimed(), job.released())
        assert ledger.last.state is State.RETRYING
        assert (ledger.job.attempt, ledger.job.losses) == (1, 0)

    @pytest.mark.parametrize("second", [job.succeeded(), job.failed(), job.lost(), job.released()])
    def test_only_the_first_closure_of_a_failed_dispatch_holds(self, second: Verdict) -> None:
        assert not Ledger(job.claimed(), job.failed(), second).last.holds

    @pytest.mark.parametrize("second", [job.failed(), job.lost(), job.released(), job.succeeded()])
    def test_nothing_follows_a_success(self, second: Verdict) -> None:
        assert not Ledger(job.claimed(), job.succeeded(), second).last.holds

    @pytest.mark.parametrize(
        "closure", [job.succeeded(by="b"), job.failed(by="b"), job.lost(by="b"), job.released(by="b")]
    )
    def test_only_the_claim_holders_dispatch_can_be_closed(self, closure: Verdict) -> None:
        ledger = Ledger(job.claimed(by="a"))
        assert not ledger.say(closure).holds
        assert ledger.job.phase is Phase.CLAIMED

    def test_what_was_never_claimed_cannot_be_closed(self) -> None:
        assert not Ledger(job.succeeded()).last.holds
        assert not Ledger(job.lost()).last.holds

    def test_a_loss_is_said_once_however_often_the_keeper_repeats_it(self) -> None:
        ledger = Ledger(job.claimed(), job.lost(), job.lost(), job.lost())
        assert ledger.job.losses == 1

    def test_deaths_of_the_worker_are_counted_for_the_poison_rule(self) -> None:
        ledger = Ledger(job.claimed(1), job.failed(1, error_type="WorkerDied"), job.retry(1))
        ledger.say(job.claimed(2), job.failed(2, error_type="MemoryLimitExceeded"))
        assert (ledger.job.worker_deaths, ledger.job.failures) == (2, 2)


class TestLateSuccess:
    @pytest.mark.parametrize("closure", [job.lost(1), job.released(1)])
    def test_ends_the_job_while_the_next_dispatch_is_unclaimed(self, closure: Verdict) -> None:
        for before in ([], [job.retry(1)], [job.hold(1)]):
            ledger = Ledger(job.claimed(1), closure, *before, job.succeeded(1))
            assert (ledger.last.state, ledger.last.late) == (State.SUCCEEDED, True)

    def test_is_refused_once_the_next_dispatch_is_claimed(self) -> None:
        for by in ("a", "b"):
            ledger = Ledger(job.claimed(1, "a"), job.lost(1, "a"), job.retry(1), job.claimed(2, by))
            assert not ledger.say(job.succeeded(1, "a")).holds
            assert ledger.fold.holds_claim(ORIGIN, 2, by)

    def test_is_refused_after_a_failure(self) -> None:
        assert not Ledger(job.claimed(), job.failed(), job.succeeded()).last.holds

    def test_is_the_claim_holders_alone(self) -> None:
        assert not Ledger(job.claimed(by="a"), job.lost(by="a"), job.succeeded(by="b")).last.holds

    def test_comes_too_late_for_a_job_that_was_given_up(self) -> None:
        assert not Ledger(job.claimed(), job.lost(), job.dead(), job.succeeded()).last.holds

    def test_only_a_success_may_be_late(self) -> None:
        ledger = Ledger(job.claimed(1), job.lost(1), job.retry(1))
        assert not ledger.say(job.failed(1)).holds
        assert not ledger.say(job.released(1)).holds


class TestDecisions:
    def test_the_first_decision_on_a_closed_dispatch_holds(self) -> None:
        ledger = Ledger(job.claimed(), job.failed())
        assert ledger.say(job.retry(due_ms=9000)).state is State.RETRYING
        assert (ledger.job.n, ledger.job.due_ms, ledger.job.phase) == (2, 9000, Phase.UNCLAIMED)

    def test_a_job_decided_to_be_retried_cannot_be_decided_dead(self) -> None:
        assert not Ledger(job.claimed(), job.failed(), job.retry(), job.dead()).last.holds

    def test_a_job_decided_dead_cannot_be_retried(self) -> None:
        ledger = Ledger(job.claimed(), job.failed(), job.dead())
        assert ledger.last.state is State.DEAD
        assert not ledger.say(job.retry()).holds
        assert not ledger.say(job.claimed(2)).holds

    @pytest.mark.parametrize(("second", "state"), [(job.retry(), State.RETRYING), (job.dead(), State.DEAD)])
    def test_a_hold_is_followed_by_one_more_decision(self, second: Verdict, state: State) -> None:
        ledger = Ledger(job.claimed(), job.failed(), job.hold())
        assert ledger.last.state is State.HELD
        assert not ledger.say(job.hold()).holds
        assert ledger.say(second).state is state

    def test_nothing_is_decided_about_a_running_dispatch(self) -> None:
        assert not Ledger(job.claimed(), job.dead()).last.holds

    def test_nothing_is_decided_about_a_job_nobody_claimed(self) -> None:
        assert not Ledger(job.dead()).last.holds

    def test_a_decision_about_an_older_dispatch_is_refused(self) -> None:
        ledger = Ledger(job.claimed(1), job.failed(1), job.retry(1), job.claimed(2), job.failed(2))
        assert not ledger.say(job.dead(1)).holds


class TestPreemption:
    def test_before_a_claim_it_holds_and_waits_for_a_decision(self) -> None:
        ledger = Ledger(job.preempted())
        assert ledger.last.state is State.HELD
        assert ledger.say(job.retry()).holds
        assert ledger.say(job.claimed(2)).holds

    def test_after_a_claim_it_is_refused(self) -> None:
        assert not Ledger(job.claimed(), job.preempted()).last.holds

    def test_uses_up_no_attempt(self) -> None:
        assert Ledger(job.preempted()).job.attempt == 1

    def test_may_end_dead_by_decision(self) -> None:
        assert Ledger(job.preempted(), job.dead()).last.state is State.DEAD


class TestCancel:
    def test_an_unclaimed_job_is_cancelled_at_once(self) -> None:
        ledger = Ledger(job.cancel())
        assert ledger.last.state is State.CANCELLED
        assert ledger.fold.is_done(ORIGIN)

    def test_a_cancel_by_id_alone_that_overtook_the_job_still_stops_its_first_claim(self) -> None:
        ledger = Ledger(job.cancel_by_id())
        assert ledger.last.state is State.CANCELLED
        assert not ledger.say(job.claimed()).holds
        assert not ledger.fold.may_claim(ORIGIN, JOB_ID, 1)

    def test_a_running_job_is_asked_to_stop_and_goes_on_running_until_it_does(self) -> None:
        ledger = Ledger(job.claimed(), job.cancel())
        assert ledger.last.holds
        assert ledger.last.state is None
        assert ledger.fold.is_cancel_asked(ORIGIN)
        assert ledger.fold.holds_claim(ORIGIN, 1, "a")

    def test_by_id_alone_finds_the_running_job(self) -> None:
        ledger = Ledger(job.claimed(), job.cancel_by_id())
        assert ledger.fold.is_cancel_asked(ORIGIN)

    @pytest.mark.parametrize("closure", [job.failed(), job.lost(), job.released()])
    def test_any_closure_but_success_then_ends_in_cancelled(self, closure: Verdict) -> None:
        ledger = Ledger(job.claimed(), job.cancel(), closure)
        assert (ledger.last.state, ledger.last.closed_n) == (State.CANCELLED, 1)
        assert not ledger.say(job.retry()).holds

    def test_a_success_that_is_faster_than_the_cancel_counts(self) -> None:
        assert Ledger(job.claimed(), job.cancel(), job.succeeded()).last.state is State.SUCCEEDED

    @pytest.mark.parametrize(
        "before", [[job.failed()], [job.failed(), job.retry()], [job.failed(), job.hold()]]
    )
    def test_a_job_that_waits_for_its_next_attempt_is_cancelled_at_once(self, before: list[Verdict]) -> None:
        ledger = Ledger(job.claimed(), *before, job.cancel())
        assert ledger.last.state is State.CANCELLED
        assert not ledger.say(job.claimed(2)).holds

    def test_a_job_that_ended_is_not_cancelled(self) -> None:
        assert not Ledger(job.claimed(), job.succeeded(), job.cancel()).last.holds

    def test_a_cancel_by_id_after_the_end_moves_no_row_because_its_rank_is_not_larger(self) -> None:
        ledger = Ledger(job.claimed(), job.succeeded())
        end = ledger.last
        assert ledger.say(job.cancel_by_id()).rank <= end.rank


class TestEndsWithoutAClaim:
    @pytest.mark.parametrize(
        ("verdict", "state"),
        [(job.expired(), State.EXPIRED), (job.skipped(), State.SKIPPED), (job.refused(), State.REFUSED)],
    )
    def test_hold_while_nobody_claimed_the_job(self, verdict: Verdict, state: State) -> None:
        ledger = Ledger(verdict)
        assert ledger.last.state is state
        assert not ledger.say(job.claimed()).holds
        assert not ledger.say(verdict).holds

    @pytest.mark.parametrize("verdict", [job.expired(), job.skipped(), job.refused()])
    def test_are_refused_once_the_job_was_claimed(self, verdict: Verdict) -> None:
        assert not Ledger(job.claimed(), verdict).last.holds
        assert not Ledger(job.claimed(), job.failed(), job.retry(), verdict).last.holds

    @pytest.mark.parametrize("verdict", [job.expired(), job.skipped(), job.refused()])
    def test_are_refused_after_a_cancel(self, verdict: Verdict) -> None:
        assert not Ledger(job.cancel(), verdict).last.holds
        assert not Ledger(job.cancel_by_id(), verdict).last.holds


class TestRedrive:
    def test_reopens_a_dead_job_as_its_next_dispatch_with_fresh_attempts(self) -> None:
        ledger = Ledger(job.claimed(), job.failed(), job.dead(), job.redriven(2))
        assert ledger.last.state is State.RETRYING
        assert not ledger.fold.is_done(ORIGIN)
        assert (ledger.job.n, ledger.job.attempt) == (2, 1)
        assert ledger.say(job.claimed(2)).holds

    def test_of_two_desks_the_first_wins(self) -> None:
        ledger = Ledger(job.claimed(), job.failed(), job.dead(), job.redriven(2))
        assert not ledger.say(job.redriven(2)).holds

    def test_names_the_dispatch_after_the_last(self) -> None:
        assert not Ledger(job.claimed(), job.failed(), job.dead(), job.redriven(3)).last.holds

    @pytest.mark.parametrize("end", [job.expired(), job.skipped(), job.refused()])
    def test_reopens_a_job_that_never_started(self, end: Verdict) -> None:
        ledger = Ledger(end, job.redriven(2))
        assert ledger.last.holds
        assert not ledger.say(job.claimed(1)).holds
        assert ledger.say(job.claimed(2)).holds

    def test_reopens_a_job_that_was_cancelled_while_it_ran(self) -> None:
        ledger = Ledger(job.claimed(), job.cancel(), job.failed(), job.redriven(2))
        assert ledger.say(job.claimed(2)).holds

    def test_reopens_a_job_that_was_cancelled_before_it_started(self) -> None:
        ledger = Ledger(job.cancel(), job.redriven(2))
        assert ledger.last.holds
        assert not ledger.say(job.claimed(1)).holds
        assert ledger.say(job.claimed(2)).holds

    def test_of_a_job_that_succeeded_is_refused(self) -> None:
        assert not Ledger(job.claimed(), job.succeeded(), job.redriven(2)).last.holds

    def test_of_a_job_that_is_alive_is_refused(self) -> None:
        assert not Ledger(job.redriven(2)).last.holds
        assert not Ledger(job.claimed(), job.redriven(2)).last.holds
        assert not Ledger(job.claimed(), job.failed(), job.retry(), job.redriven(2)).last.holds


class TestOffsets:
    def test_a_verdict_read_again_at_its_offset_is_refused_without_effect(self) -> None:
        ledger = Ledger(job.claimed(), job.failed(), job.retry())
        assert not ledger.fold.apply(0, 1000, job.claimed()).holds
        assert not ledger.fold.apply(2, 1002, job.dead()).holds
        assert ledger.fold.next_offset == 3

    def test_what_is_not_a_verdict_only_moves_the_offset_on(self) -> None:
        fold = LedgerFold(EPOCH)
        fold.skip_to(9)
        fold.skip_to(4)
        assert fold.next_offset == 9

    @pytest.mark.parametrize(
        "verdict",
        [
            About("other:0:7").claimed(),
            About("other:0:7").claimed(2),
            About("other:0:7").succeeded(),
            About("other:0:7").failed(),
            About("other:0:7").lost(2),
            About("other:0:7").released(),
            About("other:0:7").retry(),
            About("other:0:7").dead(2),
            About("other:0:7").expired(),
            About("other:0:7").refused(),
            About("other:0:7").preempted(),
            About("other:0:7").preempted(2),
            About("other:0:7").redriven(),
        ],
    )
    def test_a_verdict_of_another_epoch_stops_the_service(self, verdict: Verdict) -> None:
        with pytest.raises(WrongEpochError, match="other:0:7"):
            Ledger(verdict)

    def test_a_cancel_of_a_job_of_another_epoch_is_refused_and_stops_nobody(self) -> None:
        """Clients write it, and may still show jobs of the epoch before."""
        ledger = Ledger(About("other:0:7").cancel())
        assert not ledger.last.holds
        assert ledger.say(job.claimed()).holds

    def test_offsets_of_two_source_partitions_are_two_jobs(self) -> None:
        other = About(f"{EPOCH}:1:7", "01890000-0000-7000-8000-000000000008")
        ledger = Ledger(job.claimed(), job.succeeded(), other.claimed(by="b"))
        assert ledger.last.holds
        assert ledger.fold.finished_jobs == 1


class TestHolesOfLooserLaws:
    def test_a_late_success_and_a_loss_give_one_answer_to_everybody(self) -> None:
        verdicts = [job.claimed(1), job.lost(1), job.succeeded(1), job.retry(1), job.claimed(2, "b")]
        ledger = Ledger(*verdicts)
        assert ledger.fold.is_done(ORIGIN)
        assert not ledger.last.holds

    def test_an_executor_that_wakes_after_its_loss_reads_that_it_does_not_hold_the_claim(self) -> None:
        ledger = Ledger(job.claimed(1, "a"), job.lost(1, "a"), job.retry(1), job.claimed(2, "b"))
        assert not ledger.fold.holds_claim(ORIGIN, 1, "a")

    def test_a_claim_that_lands_twice_is_won_by_the_record_that_was_first(self) -> None:
        ledger = Ledger(job.claimed(by="a"), job.lost(by="a"), job.claimed(by="a"))
        assert not ledger.last.holds
        assert ledger.job.claim_ledger_offset == 0

    def test_a_job_with_a_pending_cancel_that_is_lost_is_cancelled_not_retried(self) -> None:
        ledger = Ledger(job.claimed(), job.cancel(), job.lost())
        assert ledger.last.state is State.CANCELLED

    def test_no_job_ends_while_a_claim_is_open_so_no_closure_is_left_over(self) -> None:
        ledger = Ledger(job.claimed())
        for verdict in (job.cancel(), job.expired(), job.skipped(), job.refused(), job.dead()):
            ledger.say(verdict)
            assert ledger.job.phase is Phase.CLAIMED

    def test_a_drain_hands_the_job_back_and_the_next_dispatch_needs_only_a_decision(self) -> None:
        ledger = Ledger(job.claimed(1), job.released(1), job.retry(1), job.claimed(2, "b"))
        assert ledger.last.holds
        assert ledger.job.attempt == 1
