"""Declaring tasks: what is taken, what is refused, and what the message tells."""

import functools
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from penstock.context import Context
from penstock.durations import seconds
from penstock.errors import TaskDefinitionError
from penstock.task import Registry, RetryRule, register_function, task


async def send(ctx: Context, payload: Any) -> None:
    return None


def send_sync(ctx: Context, payload: Any) -> None:
    return None


class Sender:
    async def __call__(self, ctx: Context, payload: Any) -> None:
        return None


class Email(BaseModel):
    to: str


@pytest.mark.parametrize(
    ("duration", "expected_s"),
    [("30s", 30), ("1h30m", 5400), ("250ms", 0.25), ("1.5 m", 90), ("2d", 172800), (7, 7), (0.5, 0.5)],
)
def test_a_duration_is_read_with_its_unit(duration: str | float, expected_s: float) -> None:
    assert seconds(duration, "timeout") == expected_s


def test_a_timedelta_is_a_duration() -> None:
    assert seconds(timedelta(minutes=2), "timeout") == 120


@pytest.mark.parametrize(
    "duration", ["", "30", "s", "-5s", 0, -1, float("nan"), float("inf"), True, None, "5 years"]
)
def test_what_is_no_duration_is_refused_with_the_accepted_forms(duration: Any) -> None:
    with pytest.raises(TaskDefinitionError, match=r'timeout is .* write "30s"'):
        seconds(duration, "timeout")


def test_the_decorator_returns_the_function_unchanged_and_registers_it() -> None:
    registry = Registry()
    returned = task("email.send", timeout="30s", uses=["smtp"], payload=Email, registry=registry)(send)
    assert returned is send
    made = registry.get("email.send")
    assert made is not None
    assert (made.timeout_s, made.uses, made.payload_model, made.is_async) == (30.0, ("smtp",), Email, True)
    assert registry.of(send) is made


@pytest.mark.parametrize(
    ("function", "is_async"),
    [
        (send, True),
        (send_sync, False),
        (functools.partial(send), True),
        (Sender(), True),
        (lambda c, p: p, False),
    ],
)
def test_async_handlers_are_told_from_sync_ones(function: Any, is_async: bool) -> None:
    assert register_function("x", function, registry=Registry()).is_async is is_async


@pytest.mark.parametrize("name", ["", "Email", "email send", "email..send", ".email", "a" * 101, "é"])
def test_a_bad_type_is_refused(name: str) -> None:
    with pytest.raises(TaskDefinitionError, match="is not a task type"):
        register_function(name, send, registry=Registry())


def test_a_decorator_without_its_type_says_how_to_write_it() -> None:
    with pytest.raises(TaskDefinitionError, match=r'write @task\("email.send"\)'):
        task(send)  # type: ignore[arg-type]


def test_two_functions_of_one_type_are_refused_naming_both() -> None:
    registry = Registry()
    register_function("x", send, registry=registry)
    register_function("x", send, registry=registry)
    with pytest.raises(TaskDefinitionError, match=r"test_task\.send \(.*test_task\.send_sync \("):
        register_function("x", send_sync, registry=registry)


def no_payload(ctx: Context) -> None:
    return None


def three(ctx: Context, payload: Any, more: Any) -> None:
    return None


async def generates(ctx: Context, payload: Any) -> Any:
    yield 1


@pytest.mark.parametrize("function", [no_payload, three, "send", generates])
def test_what_cannot_be_called_as_ctx_payload_is_refused(function: Any) -> None:
    with pytest.raises(TaskDefinitionError, match="task 'x'"):
        register_function("x", function, registry=Registry())


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": "2d"},
        {"cancel_grace": "2d"},
        {"max_attempts": 0},
        {"max_attempts": 51},
        {"max_attempts": True},
        {"concurrency": 0},
        {"uses": "smtp"},
        {"payload": dict},
    ],
)
def test_an_option_out_of_range_is_refused_naming_task_and_option(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(TaskDefinitionError, match=rf"{name} of task 'x'"):
        register_function("x", send, registry=Registry(), **options)


def test_a_retry_rule_reads_durations_and_refuses_nonsense() -> None:
    rule = RetryRule(base="500ms", cap=timedelta(minutes=1), factor=3)
    assert (rule.base_s, rule.cap_s) == (0.5, 60.0)
    with pytest.raises(TaskDefinitionError, match="below base"):
        RetryRule(base="1m", cap="1s")
    with pytest.raises(TaskDefinitionError, match="factor"):
        RetryRule(factor=0.5)
