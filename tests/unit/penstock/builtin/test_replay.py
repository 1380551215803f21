"""``penstock.replay`` ends as recorded."""

import json
from pathlib import Path

import pytest

from penstock.builtin.replay import replay
from penstock.testing import run_task


@pytest.mark.parametrize(
    ("outcome", "error_class"),
    [
        ("ok", None),
        ("permanent", "permanent"),
        ("transient", "transient"),
        ("overload", "overload"),
        ("timeout", "timeout"),
    ],
)
def test_it_ends_in_the_recorded_outcome(outcome: str, error_class: str | None) -> None:
    assert run_task(replay, {"outcome": outcome}).error_class == error_class


@pytest.mark.parametrize(("attempt", "is_ok"), [(1, False), (2, False), (3, True)])
def test_only_the_first_attempts_fail(attempt: int, is_ok: bool) -> None:
    assert run_task(replay, {"outcome": "transient", "fail_attempts": 2}, attempt=attempt).ok is is_ok


def test_a_crash_is_counted_by_dispatches() -> None:
    assert run_task(replay, {"outcome": "crash", "fail_attempts": 1}, attempt=1, dispatch=2).ok


def test_the_effects_file_gets_a_start_and_an_end_line(tmp_path: Path) -> None:
    path = tmp_path / "effects"
    payload = {"effects_file": str(path), "outcome": "permanent"}
    run_task(replay, payload, job_id="j", attempt=2, dispatch=4)
    run_task(replay, {**payload, "run_s": 60}, job_id="k", timeout=0.05)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [
        (row["job_id"], row["dispatch"], row["attempt"], row["event"], row.get("outcome")) for row in rows
    ] == [
        ("j", 4, 2, "start", None),
        ("j", 4, 2, "end", "permanent"),
        ("k", 1, 1, "start", None),
        ("k", 1, 1, "end", "cancelled"),
    ]


def test_an_unknown_field_is_refused_naming_it() -> None:
    assert "run_ms" in run_task(replay, {"run_ms": 3}).message
