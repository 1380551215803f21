from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from core.fault import FaultClass
from core.retry import CIRCUIT_POLICY, Cause, ClosedDispatch, RetryPolicy, draw_for, failure_delay_s
from penstock.cli.times import span
from penstock.cli.why_known import Known
from penstock.cli.why_queue import Row
from penstock.cli.why_retry_words import delay_part
from schemas.accepted_job import AcceptedJob, FailedAttempt

NOW = datetime(2026, 11, 27, tzinfo=UTC)
SIGNATURE = "00deadbeef00beef"
NAMED = {"error_type": "ValueError", "location": "mail.py:send", "template": "no user <num>"}
REST = {"error_type": "", "location": "", "template": "<*>"}


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (NAMED, f"of kind {SIGNATURE}: ValueError at mail.py:send: no user <num>"),
        (REST, f"of kind {SIGNATURE}: any error: <*>"),
        (NAMED | {"template": ""}, f"of kind {SIGNATURE}: ValueError at mail.py:send: (no message)"),
        (None, f"of kind {SIGNATURE}"),
    ],
)
def test_a_retry_names_the_kind_of_its_failure(kind: Row | None, said: str) -> None:
    job = {"origin_epoch": "e", "origin_partition": 0, "origin_offset": 7, "max_attempts": 5}
    last = {"n": 1, "attempt": 1, "outcome": "failed", "error_class": "transient", "signature": SIGNATURE}
    last |= {"decision": "retry", "decision_reason": "x", "decision_policy": "rule"}
    last |= {"decided_at": NOW, "due_at": NOW + timedelta(seconds=1)}
    lines = delay_part(Known(job, [last], NOW, kind=kind), last).lines
    assert f"the failure is {said}" in lines
    assert not any(
        "kind" in line for line in delay_part(Known(job, [], NOW), last | {"signature": None}).lines
    )


@pytest.mark.parametrize(
    ("policy", "said"),
    [("learned", "by what was seen of such failures"), ("explored", "by a draw among few")],
)
def test_a_delay_that_is_not_by_the_rule_says_so(policy: str, said: str) -> None:
    job = {"origin_epoch": "e", "origin_partition": 0, "origin_offset": 7, "max_attempts": 5}
    last = {"n": 1, "attempt": 1, "outcome": "failed", "error_class": "transient", "signature": None}
    last |= {"decision": "retry", "decision_reason": "x", "decision_policy": policy, "propensity": 0.85}
    last |= {"decided_at": NOW, "due_at": NOW + timedelta(seconds=40)}
    text = "\n".join(delay_part(Known(job, [last], NOW), last).lines)
    assert f"the delay was chosen {said}" in text
    assert "a chance of 85.0%; by the rule it would be" in text
    assert "works" not in text


@pytest.mark.parametrize(
    ("model", "said"), [("m-1", "by model m-1"), (None, "by what the dlq_handler saw itself")]
)
def test_a_chosen_delay_names_the_model_and_its_chance(model: str | None, said: str) -> None:
    job = {"origin_epoch": "e", "origin_partition": 0, "origin_offset": 7, "max_attempts": 5}
    last = {"n": 1, "attempt": 1, "outcome": "failed", "error_class": "transient", "signature": None}
    last |= {"decision": "retry", "decision_reason": "x", "decision_policy": "learned", "propensity": 0.85}
    last |= {"decided_at": NOW, "due_at": NOW + timedelta(seconds=40)}
    choice = {"arm": "planned", "model": model, "p_works": 0.62}
    lines = delay_part(Known(job, [last], NOW, choice=choice), last).lines
    assert f"{said} the next try works with a chance of 62%" in lines


def test_failures_that_do_not_count_are_none_of_those_that_a_delay_is_made_of() -> None:
    accepted = AcceptedJob(
        *("e:0:7", "00000000-0000-4000-8000-000000000001", "mail", "acme", "default", msgspec.Raw(b"{}")),
        *(5, 0, 10.0, 5, "0" * 16, "0" * 32),
        excused=2,
    )
    letter = FailedAttempt(accepted, "x", "transient", "ConnectionError", "down", 0)
    job = {"origin_epoch": "e", "origin_partition": 0, "origin_offset": 7, "max_attempts": 5}
    last = {"n": 3, "attempt": 3, "outcome": "failed", "error_class": "transient", "signature": None}
    last |= {"decision": "retry", "decision_reason": "x", "decision_policy": CIRCUIT_POLICY}
    delay_s = failure_delay_s(
        ClosedDispatch(Cause.FAILED, FaultClass.TRANSIENT, failures=1), RetryPolicy(5), draw_for("e:0:7", 3)
    )
    last |= {"decided_at": NOW, "due_at": NOW + timedelta(seconds=delay_s), "propensity": None}
    text = "\n".join(delay_part(Known(job, [last], NOW, letter=letter), last).lines)
    assert f"so {span(delay_s)}; a repeat would draw the same" in text
    assert "otherwise" not in text
