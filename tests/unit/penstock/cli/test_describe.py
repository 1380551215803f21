"""Every event of the ledger as one line."""

from typing import Any, get_args

import msgspec
import pytest

from core.ledger import notes, verdicts
from core.ledger.notes import LogLine, Note
from core.ledger.verdicts import Action, Verdict
from penstock.cli.describe import clock, describe

JOB: dict[str, Any] = {"origin": "e:0:1", "job_id": "6f1c9a52-8d0b-5c7e-9b1e-3f6d2a4c8e10"}
NOW_MS = 1_700_000_000_000
EVENTS: list[tuple[Verdict | Note, str]] = [
    (verdicts.Claimed(**JOB, n=2, executor="x", topic="t", partition=0, offset=1), "claimed #2"),
    (verdicts.Released(**JOB, n=2, executor="x", reason="drain"), "released #2: drain"),
    (verdicts.Succeeded(**JOB, n=1, executor="x", started_ms=1, run_s=0.25), "succeeded #1 after 250ms"),
    (
        verdicts.Failed(
            **JOB,
            n=1,
            executor="x",
            started_ms=1,
            run_s=3,
            error_class="transient",
            error_type="E",
            message="line\nmore",
            dlq_offset=1,
        ),
        "failed #1 after 3.0s: transient E: line",
    ),
    (verdicts.Lost(**JOB, n=1, executor="x", reason="silent", dlq_offset=1), "lost #1 of x: silent"),
    (verdicts.Preempted(**JOB, n=1, p_fail=0.9, dlq_offset=1), "preempted #1, predicted to fail with 90%"),
    (
        verdicts.Decided(**JOB, n=1, action=Action.RETRY, reason="r", due_ms=NOW_MS + 4000),
        "decided #1 retry until 22:13:24.000 (in 4.0s): r",
    ),
    (verdicts.Decided(**JOB, n=1, action=Action.DEAD, reason="cap"), "decided #1 dead: cap"),
    (verdicts.Cancel(**JOB, by="me"), "cancel asked by me"),
    (verdicts.Expired(**JOB), "expired"),
    (verdicts.Skipped(**JOB, reason="parent"), "skipped: parent"),
    (verdicts.Refused(**JOB, reason="size"), "refused: size"),
    (verdicts.Redriven(**JOB, n=2, topic="t", partition=0, offset=1, by="me"), "redriven as #2 by me"),
    (
        notes.Accepted(
            **JOB,
            type="a.b",
            tenant="t",
            pool="p",
            priority=5,
            submitted_ms=1,
            timeout_s=1,
            max_attempts=1,
            payload=msgspec.Raw(b"{}"),
            payload_bytes=2,
            trace_id="",
        ),
        "accepted a.b of t, priority 5, e:0:1",
    ),
    (notes.Waiting(**JOB, on="due", due_ms=NOW_MS + 1000), "waiting #1 for due until 22:13:21.000"),
    (notes.Repeated(**JOB, first_origin="e:0:0", conflict=True), "and its body differs"),
    (
        notes.Queued(**JOB, n=1, bucket=3, head_start_s=1200, score_parts={}, ready_ms=1),
        "queued #1 in bucket 3, head start 1200 s",
    ),
    (notes.Progress(**JOB, n=1, fraction=0.5, message="half"), "progress #1 50% half"),
    (notes.Logged(**JOB, n=1, lines=(LogLine(0, 1, "info", "hello"),)), "logged #1 1 lines: hello"),
]


@pytest.mark.parametrize(("event", "text"), EVENTS, ids=lambda value: type(value).__name__)
def test_an_event_is_one_readable_line(event: Verdict | Note, text: str) -> None:
    line = describe(event, NOW_MS)
    assert text in line
    assert "\n" not in line


def test_every_kind_of_event_is_covered_above() -> None:
    assert {type(event) for event, _ in EVENTS} == {*get_args(Verdict), *get_args(Note)}


def test_broker_time_is_shown_in_utc() -> None:
    assert clock(NOW_MS + 7) == "22:13:20.007"
