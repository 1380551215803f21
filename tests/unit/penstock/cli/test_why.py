"""Words for a job in every state."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.postgres.tables.jobs import jobs
from core.fault import FaultClass
from core.retry import Cause, ClosedDispatch, RetryPolicy, decide_retry, draw_for
from core.states import State
from core.subjects import Scope, Subject
from penstock.cli.executors import Executor
from penstock.cli.why import lines, members
from penstock.cli.why_known import Answer, Known
from penstock.cli.why_log import HeldPlace, KeyPlace
from penstock.cli.why_queue import Seen, lanes_before, served_by, view_of
from penstock.cli.why_words import explain
from schemas.control import LimitRecord, PauseRecord
from schemas.executors import Heartbeat
from schemas.standing_orders import Standing, StandingOrders

NOW = datetime(2030, 1, 31, 8, 0, tzinfo=UTC)
JOB_ID = "01890000-0000-7000-8000-000000000001"
OTHER = "01890000-0000-7000-8000-000000000002"
PER_DECADE_S = 1200.0
COLUMNS = [column.name for column in jobs.columns]


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def job(**said: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {"job_id": JOB_ID, "tenant": "acme", "type": "email.send", "pool": "default", "priority": 5}
    row |= {"max_attempts": 5, "origin_epoch": "e", "origin_partition": 0, "origin_offset": 7}
    row |= {"submitted_at": later(-60), "updated_at": later(-30)}
    return row | said


def queued(**said: Any) -> dict[str, Any]:
    return job(
        state="queued",
        bucket=3,
        head_start_s=1000.0,
        score_parts={"cost": 1000.0, "urgency": 0.0},
        predicted_run_s=4.0,
        model_version="rule",
        ready_at=later(-30),
        queued_at=later(-30),
    ) | dict(said)


def attempt(**said: Any) -> dict[str, Any]:
    names = (
        "n attempt executor_id outcome run_s error_class error_type error_message decision "
        "decision_reason decided_at decision_policy due_at dlq_offset signature"
    )
    row: dict[str, Any] = dict.fromkeys(names.split())
    return row | {"n": 1, "attempt": 1} | said


def ahead(jobs: int, bucket: int = 3, type_: str = "email.send", predicted_s: float = 4.0) -> dict[str, Any]:
    return {
        "bucket": bucket,
        "type": type_,
        "tenant": "acme",
        "tied": False,
        "before": True,
        "jobs": jobs,
        "predicted_s": predicted_s * jobs,
    }


def ended(slot_s: float, type_: str = "email.send") -> dict[str, Any]:
    return {
        "type": type_,
        "bucket": 3,
        "state": "succeeded",
        "executor_id": "e1",
        "run_s": slot_s,
        "predicted_s": 4.0,
        "claimed_at": later(-20),
        "outcome": "succeeded",
        "slot_s": slot_s,
        "waited_s": 5.0,
    }


def executor(slots: int = 2, held: int = 0, **said: Any) -> Executor:
    names = tuple(f"e:0:{n}/1" for n in range(held))
    values: dict[str, Any] = {"draining": False, "types": ("email.send",), "host": "h1", "pid": 7} | said
    heartbeat = Heartbeat("boot", "executor-1", "default", 1, names, slots, 0, **values)
    return Executor(heartbeat, 1.0, drain_asked=False)


def orders(*, paused: Subject | None = None, limited: Subject | None = None) -> StandingOrders:
    standing = StandingOrders()
    if paused is not None:
        pause = PauseRecord(paused.scope, paused.name, paused=True, reason="provider down", by="ann")
        standing.pauses[paused] = Standing(pause, round(later(-120).timestamp() * 1000))
    if limited is not None:
        standing._limit(LimitRecord(limited.scope, limited.name, 0.5))
    return standing


def known_of(row: dict[str, Any], seen: Seen | None = None, **more: Any) -> Known:
    view = None if seen is None else view_of(row, seen, NOW, PER_DECADE_S)
    known = Known(row, more.pop("attempts", []), NOW, queue=view, **more)
    if seen is not None:
        known.orders, known.executors = seen.orders, seen.executors
    return known


def text(known: Known) -> str:
    return "\n".join(lines(known, explain(known)))


def test_a_queued_job_has_its_place_its_score_and_its_start() -> None:
    seen = Seen([ahead(8), ahead(2, bucket=1)], [ended(2.0)] * 200, [], [executor(2, held=2)], orders())
    known = known_of(queued(deadline_at=later(600)), seen)
    known.job["score_parts"]["deadline"] = 300.0
    found = text(known)
    assert "and 10 jobs are taken before it" in found
    assert "place: 11 in pool default, ready for 30.0s" in found
    assert "+1,000 s  predicted to run 4.0s, by the mean of its type's latest" in found
    assert "its deadline (in 10m) left 10m of slack" in found
    assert "together" in found
    assert "2 of 2 busy, of 1 executor on h1" in found
    assert "expected start" in found
    # Predictions of 4 s turned out to be 2 s: ten jobs on two slots, with what still runs.
    start = members(known, explain(known))["expected_start"]
    assert 8 < start["low_s"] < start["point_s"] < start["high_s"] < 14


def test_those_it_is_tied_with_widen_the_interval_and_no_more() -> None:
    plain = [ahead(8), ahead(4) | {"tied": True}]
    behind = ahead(6) | {"tied": True, "before": False}
    past = [ended(4.0)] * 200
    alone = view_of(queued(), Seen([ahead(12)], past, [], [executor()], orders()), NOW, PER_DECADE_S)
    seen = Seen([*plain, behind], past, [], [executor()], orders())
    view = view_of(queued(), seen, NOW, PER_DECADE_S)
    assert (view.before, view.tied) == (12, 10)
    assert "10 others became ready in the same instant" in text(known_of(queued(), seen))
    assert alone.start is not None
    assert view.start is not None
    assert view.start.point_s == alone.start.point_s
    assert view.start.low_s < alone.start.low_s
    assert view.start.high_s > alone.start.high_s


def test_a_job_that_is_queued_again_says_what_came_before() -> None:
    failed = attempt(outcome="failed", run_s=2.0, error_class="transient", error_type="E", error_message="no")
    failed |= {"decision": "retry", "decision_reason": "again in 1.00 s"}
    known = known_of(queued(), Seen([], [], [], [executor()], orders()), attempts=[failed])
    assert "#1 failed after 2.0s transient E: no; retry: again in 1.00 s" in text(known)


def test_a_score_of_another_kind_only_adds_a_part() -> None:
    row = queued(score_parts={"cost": 900.0, "tenant_share": 100.0}, model_version="v7")
    found = text(known_of(row, Seen([], [], [], [executor()], orders())))
    assert "predicted to run 4.0s, by model v7" in found
    assert "tenant_share     +100 s  a part of model v7" in found


def test_what_was_inherited_is_told_with_whom_it_is_from() -> None:
    row = queued(score_parts={"inherited": 2400.0}, ordering_key="k")
    known = known_of(row, Seen([], [], [], [executor()], orders()))
    assert "from what waited for it when it was scored" in text(known)
    known.key = KeyPlace(JOB_ID, blocks=False, before=None, behind=((OTHER, 9, None),))
    known.children = [{"job_id": "low", "priority": 1, "deadline_at": None}]
    assert f"from what waits for it: {OTHER}" in text(known)


def test_without_executors_nothing_is_expected() -> None:
    gone = executor()._replace(age_s=100.0)
    found = text(known_of(queued(), Seen([ahead(1)], [], [], [gone, executor(draining=True)], orders())))
    assert "no executor serves pool default" in found
    assert "taking no more: 1 executor;" in found
    assert "silent for longer than its lease: 1 executor" in found
    assert "unknown: no slot serves its pool" in found


def test_without_kafka_the_place_is_told_and_the_start_is_not() -> None:
    known = known_of(
        queued(), Seen([ahead(3)], None, None, None, None), not_known=["who runs jobs: no Kafka"]
    )
    found = text(known)
    assert "and 3 jobs are taken before it" in found
    assert "unknown: nobody said who serves its pool" in found
    assert "could not be looked up\n  who runs jobs: no Kafka" in found


def test_jobs_that_are_paused_are_not_before_it_and_a_paused_job_has_no_start() -> None:
    paused = orders(paused=Subject(Scope.TYPE, "report"))
    seen = Seen([ahead(3), ahead(4, type_="report")], [], [], [executor()], paused)
    assert "and 3 jobs are taken before it" in text(known_of(queued(), seen))
    found = text(known_of(queued(type="report"), seen))
    assert "type report is paused: it does not start before a resume" in found
    assert "unknown: not before type report is resumed" in found


def test_a_limit_is_what_a_start_waits_for() -> None:
    limited = orders(limited=Subject(Scope.TYPE, "email.send"))
    known = known_of(queued(), Seen([ahead(20)], [], [], [executor(100)], limited))
    found = members(known, explain(known))
    assert found["limits"] == {"type/email.send": 0.5}
    assert found["expected_start"]["point_s"] == 40.0
    assert "type email.send may start 30/m" in text(known)


def test_what_may_overtake_is_told_with_until_when() -> None:
    came = [{"bucket": 1, "type": "email.send", "jobs": 300, "predicted_s": 300.0, "since": later(-300)}]
    seen = Seen([ahead(10)], [], came, [executor(2)], orders())
    found = text(known_of(queued(), seen))
    assert "what comes into bucket 0 overtakes it until 08:" in found
    assert "more urgent jobs kept 1.0 slots busy" in found
    calm = view_of(queued(), seen._replace(arrivals=[]), NOW, PER_DECADE_S)
    busy = view_of(queued(), seen, NOW, PER_DECADE_S)
    assert calm.start is not None
    assert busy.start is not None
    assert busy.start.high_s > calm.start.high_s


def test_jobs_are_looked_for_from_where_the_executors_are() -> None:
    row = queued(ready_at=NOW)
    heads = {0: later(-5), 3: later(-10), 7: NOW}
    found = lanes_before(row, heads, PER_DECADE_S)
    # The last bucket's oldest is ready too late to be taken before.
    assert set(found) == {0, 3}
    assert found[3] == (later(-10), NOW)
    assert found[0][1] > NOW
    assert len(lanes_before(row, None, PER_DECADE_S)) == 8


def test_only_live_executors_of_the_pool_that_take_jobs_count() -> None:
    other = executor()
    other = other._replace(heartbeat=Heartbeat("b2", "x", "gpu", 1, (), 9, 0))
    found = served_by([executor(4, held=6), other, executor(8, goodbye=True)], "default", "report")
    assert (found.executors, found.slots, found.busy, found.knows_type) == (1, 4, 4, False)


@pytest.mark.parametrize(
    ("said", "more", "words"),
    [
        ({"state": "accepted"}, {}, "it was accepted 60.0s ago and is on its way"),
        ({"state": "accepted", "type": None}, {}, "nothing is known of it"),
        ({"state": "waiting", "waiting_on": "id"}, {}, "waits to be told from repeats"),
        ({"state": "waiting", "waiting_on": "moon"}, {}, "gate 'moon', which this version does not know"),
        (
            {"state": "waiting", "waiting_on": "order", "ordering_key": "k"},
            {},
            "its turn at ordering key 'k'",
        ),
        ({"state": "held", "last_decision": "hold: outage"}, {}, "on hold by decision: hold: outage"),
        (
            {
                "state": "cancelled",
                "cancel_by": "ann",
                "cancel_reason": "no need",
                "finished_at": later(-3),
            },
            {},
            "it was cancelled 3.0s ago by ann: no need",
        ),
        (
            {"state": "expired", "expires_at": NOW, "finished_at": NOW},
            {},
            "expires_at, which was 2030-01-31 08:00:00 UTC",
        ),
        ({"state": "refused", "last_decision": "refused: there is no pool 'x'"}, {}, "there is no pool 'x'"),
        (
            {"state": "dead", "last_decision": "dead: attempt 5 of 5 failed", "error_class": "transient"},
            {},
            "it is dead: attempt 5 of 5 failed",
        ),
        (
            {"state": "succeeded", "run_s": 3.0, "attempt": 1, "finished_at": NOW, "deadline_at": later(-5)},
            {},
            "its deadline was missed by 5.0s",
        ),
        (
            {"state": "skipped", "last_decision": "skipped: a parent ended without success"},
            {"parents": [{"job_id": OTHER, "type": "extract", "state": "dead"}]},
            f"{OTHER} (extract) is dead",
        ),
    ],
)
def test_every_state_has_its_words(said: dict[str, Any], more: dict[str, Any], words: str) -> None:
    assert words in text(known_of(job(**said), **more))


@pytest.mark.parametrize("state", State)
def test_a_row_that_says_hardly_anything_is_explained_all_the_same(state: State) -> None:
    answer = explain(Known(dict.fromkeys(COLUMNS) | {"job_id": JOB_ID, "state": state}, [], NOW))
    assert isinstance(answer, Answer)
    assert answer.summary


def test_a_job_that_waits_for_parents_names_those_that_are_open() -> None:
    parents = [{"job_id": f"p{n}", "type": "extract", "state": "running"} for n in range(7)]
    parents.append({"job_id": "p7", "type": "extract", "state": "succeeded"})
    row = job(state="waiting", waiting_on="parents", depends_on=[f"p{n}" for n in range(9)], workflow_id="w")
    found = text(known_of(row, parents=parents))
    assert "8 of 9 are open" in found
    assert "p0 (extract) is running" in found
    assert "all open: 7 running" in found
    assert "1 of them were not seen yet" in found
    group = row | {"depends_on": {"group": "g", "count": 12}}
    assert "all of group 'g': 12 jobs, 8 seen" in text(known_of(group, parents=parents))


def test_a_job_at_a_busy_key_says_who_has_it_and_who_is_before() -> None:
    row = job(state="waiting", waiting_on="order", ordering_key="k")
    known = known_of(row, key=KeyPlace(OTHER, blocks=False, before=2, behind=()))
    assert "3rd in line" in text(known)
    assert f"busy with {OTHER}" in text(known)
    known.key = KeyPlace(OTHER, blocks=True, before=0, behind=())
    assert "`penstock order release k`" in text(known)


def test_a_delayed_job_says_in_which_tier_it_stands() -> None:
    row = job(state="waiting", waiting_on="due", due_at=later(100), updated_at=later(-5))
    found = text(known_of(row))
    # 105 s: a hop of 64 s, then what is left.
    assert "it stands in the tier of 64.0s, and leaves it in about 59.0s" in found
    assert "in 100.0s" in found


def test_a_held_job_says_for_what_how_many_are_before_it_and_the_remedy() -> None:
    subject = Subject(Scope.TENANT, "acme")
    row = job(state="waiting", waiting_on="pause")
    known = known_of(
        row, orders=orders(paused=subject), held_for="pause/tenant/acme", held=HeldPlace(340, 11, 120)
    )
    found = text(known)
    assert "it is held: tenant acme is paused" in found
    assert "340 jobs are held for it; it is the 12th of 120 in its partition" in found
    assert "by ann: provider down" in found
    assert "`penstock resume tenant acme`" in found
    limited = known_of(
        queued(waiting_on="limit"),
        orders=orders(limited=subject),
        held_for="limit/tenant/acme",
        held=HeldPlace(60, None, 30),
    )
    assert "rate limit of 30/m of tenant acme" in text(limited)
    assert "all of them take 2m at that rate" in text(limited)
    assert "it is being handed on" in text(known_of(row))


def test_a_running_job_says_where_and_how_long_such_jobs_take() -> None:
    row = job(state="running", started_at=later(-10), executor_id="boot", timeout_s=60.0, progress=0.5)
    row |= {"attempt": 2, "progress_message": "half", "cancel_asked_at": later(-1), "cancel_by": "ann"}
    found = text(known_of(row, executors=[executor()], recent=[ended(float(n)) for n in range(1, 11)]))
    assert "it runs, for 10.0s now, attempt 2 of 5" in found
    assert "executor boot on h1, pid 7" in found
    assert "it says 50% half" in found
    assert "the last 10 such jobs took 5.0s, eight of ten 2.0s to 9.0s" in found
    assert "its attempt is ended after 60.0s, in 50.0s" in found
    assert "ann asked 1.0s ago to cancel it" in found


@pytest.mark.parametrize("fault", [FaultClass.TRANSIENT, FaultClass.OVERLOAD, FaultClass.TIMEOUT])
@pytest.mark.parametrize("failures", [1, 4])
def test_a_retry_says_what_its_delay_is_made_of(fault: FaultClass, failures: int) -> None:
    at_ms = round(later(-0.1).timestamp() * 1000)
    decided = decide_retry(
        ClosedDispatch(Cause.FAILED, fault, failures=failures),
        RetryPolicy(5),
        at_ms,
        draw_for("e:0:7", failures),
    )
    assert decided.due_ms is not None
    due = datetime.fromtimestamp(decided.due_ms / 1000, UTC)
    last = attempt(n=failures, attempt=failures, outcome="failed", error_class=str(fault), run_s=0.1)
    last |= {"decision": "retry", "decision_reason": decided.reason, "decided_at": later(-0.1), "due_at": due}
    row = job(state="retrying", due_at=due, attempt=failures)
    found = text(known_of(row, attempts=[last]))
    assert f"attempt {failures} of 5 did not succeed" in found
    assert f"for a {fault} failure" in found
    assert ("for each of the 3 before" in found) == (failures == 4)
    # The rule was played again, and gave what was decided.
    assert f"the draw of this dispatch is {draw_for('e:0:7', failures):.2f}" in found
    assert "was not found: a rule of the task's own is not known here" in found
    wrong = last | {"due_at": due + timedelta(seconds=7)}
    assert "by these figures it would be" in text(known_of(row, attempts=[wrong]))


def test_losses_and_hand_backs_are_no_failures() -> None:
    row = job(state="retrying", attempt=1)
    said = {"decision": "retry", "decision_reason": "x", "decided_at": NOW, "due_at": later(1)}
    assert "not the job's fault" in text(known_of(row, attempts=[attempt(outcome="lost", **said)]))
    assert "handed back" in text(known_of(row, attempts=[attempt(outcome="released", **said)]))
    assert "nothing is decided yet" in text(known_of(row, attempts=[attempt(outcome="failed")]))
