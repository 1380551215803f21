from datetime import UTC, datetime, timedelta

import pytest

from penstock.cli.why_known import Known
from penstock.cli.why_queue import Row
from penstock.cli.why_retry_words import delay_part

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
