"""What a handler sees and says."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.context import LOG_LINE_MAX_BYTES, CancelReason, Context, clean_text
from penstock.errors import Cancelled, TaskTimeout
from penstock.testing import TaskRun


def context(run: TaskRun, deadline_ms: int | None = None) -> Context:
    return Context(
        run,
        key="o/1",
        job_id="j",
        type="t",
        tenant="default",
        attempt=1,
        dispatch=1,
        deadline_ms=deadline_ms,
        labels={},
    )


def test_the_deadline_is_aware() -> None:
    assert context(TaskRun(), 1_000).deadline == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert context(TaskRun()).deadline is None


def test_a_line_holds_its_fields_and_level() -> None:
    run = TaskRun()
    ctx = context(run)
    ctx.log.warning("slow answer", host="a b", took_s=3)
    assert [(line.level, line.text) for line in run.logs] == [("warning", "slow answer host='a b' took_s=3")]
    assert ctx.log_tail == ["WARNING slow answer host='a b' took_s=3"]


def test_lines_beyond_the_limit_are_counted_and_said_once() -> None:
    run = TaskRun()
    ctx = context(run)
    for number in range(203):
        ctx.log.info(str(number))
    ctx.close()
    assert len(run.logs) == 201
    assert run.logs[-1].text.startswith("3 more lines dropped")


@given(st.text(), st.integers(8, 64))
def test_cleaned_text_is_bounded_utf_8_without_nul(text: str, max_bytes: int) -> None:
    cleaned = clean_text(text, max_bytes)
    assert len(cleaned.encode()) <= max_bytes
    assert "\0" not in cleaned


def test_a_surrogate_does_not_break_a_line() -> None:
    assert clean_text("a\ud800b", 100) == "a?b"
    assert len(clean_text("x" * 5000, LOG_LINE_MAX_BYTES).encode()) == LOG_LINE_MAX_BYTES


def test_progress_is_held_within_zero_and_one() -> None:
    run = TaskRun()
    context(run).progress(1.7, "m")
    context(run).progress(-1)
    assert run.progress == [(1.0, "m"), (0.0, "")]


def test_the_first_reason_to_stop_stays() -> None:
    ctx = context(TaskRun())
    ctx.raise_if_cancelled()
    ctx.request_cancel(CancelReason.TIMEOUT)
    ctx.request_cancel(CancelReason.CANCEL)
    assert ctx.cancelled
    with pytest.raises(TaskTimeout):
        ctx.raise_if_cancelled()


def test_a_cancelled_job_leaves_with_cancelled() -> None:
    ctx = context(TaskRun())
    ctx.request_cancel(CancelReason.CANCEL)
    with pytest.raises(Cancelled):
        ctx.raise_if_cancelled()
