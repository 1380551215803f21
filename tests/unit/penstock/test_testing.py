"""Running handlers in tests."""

import asyncio
import time
from typing import Any

import pytest
from pydantic import BaseModel

from penstock.context import Context
from penstock.errors import OverloadError, TaskDefinitionError
from penstock.task import Registry, register_function
from penstock.testing import run_task


class Email(BaseModel):
    to: str


async def send(ctx: Context, payload: Any) -> dict[str, Any]:
    ctx.log.info("sending", to=payload["to"])
    ctx.progress(0.5)
    return {"sent": payload["to"], "attempt": ctx.attempt}


def test_an_undeclared_function_runs_with_overrides() -> None:
    run = run_task(send, {"to": "a"}, attempt=3)
    assert run.ok
    assert run.result == {"sent": "a", "attempt": 3}
    assert [line.text for line in run.logs] == ["sending to=a"]
    assert run.progress == [(0.5, "")]


async def test_it_works_inside_a_running_loop() -> None:
    assert run_task(send, {"to": "a"}).ok


def test_a_declared_task_runs_by_its_type_with_its_model() -> None:
    registry = Registry()
    register_function("typed", lambda ctx, payload: payload.to, payload=Email, registry=registry)
    assert run_task("typed", {"to": "a"}, registry=registry).result == "a"
    run = run_task("typed", {}, registry=registry)
    assert run.error_class == "permanent"
    assert "to: Field required" in run.message


def test_an_unknown_type_names_the_known_ones() -> None:
    registry = Registry()
    register_function("typed", send, registry=registry)
    with pytest.raises(TaskDefinitionError, match="known: typed"):
        run_task("other", registry=registry)


def test_an_error_is_given_with_its_treatment() -> None:
    def full(ctx: Context, payload: Any) -> None:
        raise OverloadError("full", retry_after_s=3)

    run = run_task(full)
    assert isinstance(run.error, OverloadError)
    assert (run.error_class, run.retry_after_s, run.ok) == ("overload", 3, False)


def test_any_exception_with_retry_after_s_is_honoured() -> None:
    class ThrottledError(Exception):
        retry_after_s = 5

    def full(ctx: Context, payload: Any) -> None:
        raise ThrottledError

    run = run_task(full)
    assert (run.error_class, run.retry_after_s) == ("overload", 5.0)


def test_an_async_handler_is_cancelled_at_its_timeout() -> None:
    async def slow(ctx: Context, payload: Any) -> None:
        await asyncio.sleep(60)

    began = time.monotonic()
    assert run_task(slow, timeout="50ms").error_class == "timeout"
    assert time.monotonic() - began < 5


def test_a_sync_handler_sees_its_timeout() -> None:
    def slow(ctx: Context, payload: Any) -> None:
        while True:
            ctx.raise_if_cancelled()
            time.sleep(0.005)

    assert run_task(slow, timeout=0.05).error_class == "timeout"


def test_a_cancelled_job_is_not_retried() -> None:
    def looks(ctx: Context, payload: Any) -> None:
        ctx.raise_if_cancelled()

    assert run_task(looks, cancelled=True).error_class == "permanent"


@pytest.mark.parametrize(
    "value", [object(), float("nan"), {"a": [float("inf")]}, "a\0b", "x" * 70_000, {"a": {1j}}]
)
def test_a_result_that_cannot_be_stored_is_permanent(value: Any) -> None:
    run = run_task(lambda ctx, payload: value)
    assert run.error_class == "permanent"
    assert "result" in run.message


@pytest.mark.parametrize("value", [None, {"a": None}, "\\u0000", [1, 2.5, "é"], Email(to="b")])
def test_a_json_result_comes_back_as_the_table_shows_it(value: Any) -> None:
    expected = value.model_dump() if isinstance(value, BaseModel) else value
    assert run_task(lambda ctx, payload: value).result == expected
