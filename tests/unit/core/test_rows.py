import json

from core.ledger.notes import Logged, LogLine, Progress, Waiting
from core.ledger.verdicts import Action, Cancel, Expired, Preempted, Redriven, Refused, Released
from core.rows import Row, complete
from core.rows_table import Table, empty_table, gather
from tests.support.ledger_stories import (
    BASE_MS,
    EPOCH,
    Event,
    accepted,
    cancel,
    claimed,
    decided,
    failed,
    folded,
    job_id_of,
    lost,
    origin_of,
    queued,
    succeeded,
)

WHERE = (origin_of(0), job_id_of(0))


def told(*events: Event) -> Table:
    table = empty_table()
    gather(table, folded(events))
    return table


def row(*events: Event) -> Row:
    return complete(told(*events).jobs[job_id_of(0)])


def attempt(n: int, *events: Event) -> Row:
    return told(*events).attempts[job_id_of(0), n]


def test_a_job_that_runs_well_shows_its_whole_course() -> None:
    found = row(accepted(), queued(), claimed(), succeeded())
    assert found["state"] == "succeeded"
    assert found["type"] == "email.send"
    assert (found["origin_epoch"], found["origin_partition"], found["origin_offset"]) == (EPOCH, 0, 0)
    assert (found["bucket"], found["attempt"], found["dispatch"], found["executor_id"]) == (3, 1, 1, "e1")
    assert found["submitted_at"] == BASE_MS - 5
    assert found["queued_at"] == BASE_MS + 101
    assert found["started_at"] == BASE_MS + 50
    assert found["finished_at"] == found["updated_at"] == BASE_MS + 103
    assert found["verdict_offset"] == 3
    assert found["result"] == '{"ok":true}'


def test_a_verdict_that_does_not_hold_changes_nothing() -> None:
    assert row(accepted(), claimed(), claimed(executor="e2")) == row(accepted(), claimed())
    assert told(accepted(), succeeded()).attempts == {}


def test_the_outcome_does_not_depend_on_how_far_the_fold_already_is() -> None:
    events: list[Event] = [
        accepted(),
        claimed(),
        failed(),
        decided(),
        claimed(n=2, attempt=2),
        succeeded(n=2),
    ]
    all_at_once = folded(events)
    table = empty_table()
    gather(table, all_at_once[:2])
    assert (table.jobs[job_id_of(0)]["state"], table.jobs[job_id_of(0)]["attempt"]) == ("running", 1)


def test_accepted_after_everything_fills_in_what_was_asked_and_leaves_the_state() -> None:
    early, late = row(accepted(), queued(), claimed()), row(queued(), claimed(), accepted())
    moved = {"updated_at", "verdict_offset", "queued_at", "started_at"}
    assert {k: v for k, v in early.items() if k not in moved} == {
        k: v for k, v in late.items() if k not in moved
    }


def test_a_cancel_before_any_other_record_makes_a_row_with_what_is_known() -> None:
    assert row(cancel(reason="mistake")) == {
        "state": "cancelled",
        "state_rank": 25,
        "finished_at": BASE_MS + 100,
        "cancel_asked_at": BASE_MS + 100,
        "cancel_by": "ann",
        "cancel_reason": "mistake",
        "verdict_offset": 0,
        "updated_at": BASE_MS + 100,
    }
    assert row(cancel(), accepted())["state"] == "cancelled"
    assert row(cancel(), accepted())["type"] == "email.send"


def test_a_cancel_without_origin_after_the_end_leaves_the_end() -> None:
    done = row(accepted(), claimed(), succeeded(), cancel())
    assert (done["state"], done["finished_at"]) == ("succeeded", BASE_MS + 102)


def test_a_cancel_of_a_running_job_only_asks() -> None:
    asked = row(accepted(), claimed(), cancel())
    assert (asked["state"], asked["cancel_asked_at"]) == ("running", BASE_MS + 102)
    assert row(accepted(), claimed(), cancel(), failed())["state"] == "cancelled"


def test_a_cancel_with_an_id_in_another_form_is_about_no_job() -> None:
    for strange in ("", "x", job_id_of(0).replace("-", ""), "0000000A-0000-7000-8000-000000000000"):
        events = folded([accepted()])
        verdict = events[0]._replace(event=Cancel("", strange, "ann"), outcome=folded([cancel()])[0].outcome)
        table = empty_table()
        gather(table, [verdict])
        assert table.is_empty


def test_a_repeated_queued_note_changes_nothing_and_a_later_dispatch_replaces_all_of_it() -> None:
    once = row(accepted(), queued(p_fail=0.5))
    twice = row(accepted(), queued(p_fail=0.5), queued(bucket=7))
    assert twice | {"updated_at": 0} == once | {"updated_at": 0}
    later = row(accepted(), queued(p_fail=0.5), queued(n=2, bucket=6))
    assert (later["bucket"], later["queued_dispatch"]) == (6, 2)
    assert "p_fail" not in later


def test_a_late_queued_note_does_not_take_a_running_job_back() -> None:
    assert row(accepted(), claimed(), queued())["state"] == "running"


def test_a_retry_shows_its_due_time_until_it_is_queued() -> None:
    events = (accepted(), claimed(), failed(), decided(due_ms=BASE_MS + 5000))
    waiting = row(*events)
    assert (waiting["state"], waiting["due_at"]) == ("retrying", BASE_MS + 5000)
    assert waiting["last_decision"] == "retry: transient, try 1 of 5"
    assert "due_at" not in row(*events, queued(n=2))
    assert attempt(1, *events)["due_at"] == BASE_MS + 5000


def test_a_job_that_waits_for_two_gates_one_after_the_other_shows_the_due_time() -> None:
    found = row(accepted(), Waiting(*WHERE, "id"), Waiting(*WHERE, "due", due_ms=BASE_MS + 7))
    assert (found["state"], found["waiting_on"], found["due_at"]) == ("waiting", "id", BASE_MS + 7)
    assert "waiting_on" not in row(accepted(), Waiting(*WHERE, "due", due_ms=5), queued())


def test_which_failure_it_was_stays_until_another_follows() -> None:
    first = (accepted(), claimed(), failed(), decided())
    again = (*first, claimed(n=2, attempt=2), failed(n=2), decided(n=2))
    assert attempt(1, *first)["signature"] == row(*first)["signature"] == f"{1:016x}"
    assert "signature" not in attempt(2, *again)
    assert row(*again)["signature"] == f"{1:016x}"
    third = (*again, claimed(n=3, attempt=3), failed(n=3), decided(n=3))
    assert row(*third)["signature"] == f"{3:016x}"


def test_how_what_follows_a_failure_was_chosen_has_a_row_that_never_changes() -> None:
    events = (accepted(), claimed(), failed(), decided(due_ms=BASE_MS + 5000))
    found = told(*events, decided(), claimed(n=2, attempt=2), failed(n=2), decided(n=2)).choices
    assert found == {
        (job_id_of(0), 1): {
            "decided_at": BASE_MS + 103,
            "signature": f"{1:016x}",
            "error_class": "transient",
            "action": "retry",
            "policy": "rule",
            "arm": "rule",
            "propensity": 1.0,
            "delay_s": 1.5,
            "context": '{"failures":1.0,"tries_left":2.0}',
        }
    }


def test_a_failed_attempt_keeps_error_and_decision() -> None:
    found = attempt(1, accepted(), claimed(), failed(), decided(action=Action.DEAD))
    assert found["outcome"] == "failed"
    assert (found["error_class"], found["error_type"], found["dlq_offset"]) == (
        "transient",
        "TimeoutError",
        11,
    )
    assert (found["decision"], found["propensity"]) == ("dead", 1.0)
    assert row(accepted(), claimed(), failed(), decided(action=Action.DEAD))["state"] == "dead"


def test_a_late_success_ends_the_job_and_turns_its_lost_attempt() -> None:
    events = (accepted(), claimed(), lost(), decided(), succeeded())
    assert row(*events)["state"] == "succeeded"
    assert attempt(1, *events)["outcome"] == "succeeded"


def test_released_preempted_expired_and_refused_are_told_apart() -> None:
    assert attempt(1, claimed(), Released(*WHERE, 1, "e1", "drain"))["outcome"] == "released"
    assert attempt(1, Preempted(*WHERE, 1, 0.9, 4))["p_fail"] == 0.9
    assert row(Preempted(*WHERE, 1, 0.9, 4))["state"] == "held"
    assert row(Expired(*WHERE))["last_decision"] == "expired: not started before expires_at"
    assert row(Refused(*WHERE, "too large"))["last_decision"] == "refused: too large"


def test_a_redriven_job_is_not_finished_any_more() -> None:
    dead = (accepted(), claimed(), failed(), decided(action=Action.DEAD))
    assert "finished_at" in row(*dead)
    redriven = row(*dead, Redriven(*WHERE, 2, "jobs.dead", 0, 1, "ann"))
    assert (redriven["state"], redriven["last_decision"]) == ("retrying", "redriven by ann")
    assert "finished_at" not in redriven


def test_progress_belongs_to_its_dispatch_and_a_new_claim_clears_it() -> None:
    first = (accepted(), claimed(), Progress(*WHERE, 1, 0.5, "half"))
    assert (row(*first)["progress"], row(*first)["progress_message"]) == (0.5, "half")
    again = (*first, failed(), decided(), claimed(n=2, attempt=2))
    assert "progress" not in row(*again)
    assert "progress" not in row(*again, Progress(*WHERE, 1, 0.9))


def test_a_log_line_is_kept_once_by_its_number() -> None:
    line = LogLine(1, BASE_MS, "info", "hello")
    table = told(Logged(*WHERE, 1, (line,)), Logged(*WHERE, 1, (line, LogLine(2, BASE_MS, "info", "bye"))))
    assert [row["message"] for row in table.logs.values()] == ["hello", "bye"]
    assert table.jobs == {}


def test_what_no_database_can_hold_is_replaced() -> None:
    found = row(
        accepted(), claimed(), succeeded(result=b'{"a\\u0000":"\\\\u0000","b":[1e999],"c":"\\u00fc"}')
    )
    assert json.loads(str(found["result"])) == {"a\ufffd": "\\u0000", "b": [None], "c": "ü"}
    assert row(claimed(), failed(message="a\x00b"))["error_message"] == "a\ufffdb"


def test_json_that_can_be_held_stays_as_it_was_written() -> None:
    raw = b'{ "a" : 1.50, "b":"\\u00fc\\n", "c": 1e5 }'
    assert row(claimed(), succeeded(result=raw))["result"] == raw.decode()
