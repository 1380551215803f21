"""Declaring tasks: the ``task`` decorator, its plain-function twin, and the registry behind both."""

import functools
import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

from penstock.context import Context
from penstock.durations import Duration, seconds
from penstock.errors import TaskDefinitionError

Handler = Callable[[Context, Any], Any]
"""A task's function ``(ctx, payload)``; sync ones run in a thread, async ones on the worker's loop."""

_F = TypeVar("_F", bound=Handler)
_TYPE_NAME = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")
_TYPE_NAME_MAX = 100
_TIMEOUT_MAX_S = 86_400
_ATTEMPTS_MAX = 50


class PayloadModel(Protocol):
    """What ``payload=`` takes: a pydantic model class, or anything with its ``model_validate_json``."""

    @classmethod
    def model_validate_json(cls, json_data: bytes, /) -> Self:
        """Read and check one payload; raises ValueError when it does not fit."""


PayloadType = type[PayloadModel]
"""A payload model's class."""


@dataclass(frozen=True)
class RetryRule:
    """How long to wait between attempts: full-jitter exponential backoff.

    The wait before attempt ``n + 1`` is drawn from 0 to ``min(cap, base * factor ** (n - 1))``.

    Parameters
    ----------
    base
        Upper bound of the first wait.
    cap
        Upper bound of any wait.
    factor
        Growth from one attempt to the next, at least 1.

    Raises
    ------
    TaskDefinitionError
        A value makes no sense; the message says which and why.
    """

    base: Duration = "1s"
    cap: Duration = "10m"
    factor: float = 2.0

    def __post_init__(self) -> None:
        if self.cap_s < self.base_s:
            raise TaskDefinitionError(f"RetryRule cap {self.cap!r} is below base {self.base!r}; raise it")
        if not self.factor >= 1:
            raise TaskDefinitionError(f"RetryRule factor is {self.factor!r}; it must be 1 or more")

    @property
    def base_s(self) -> float:
        """Upper bound of the first wait, seconds."""
        return seconds(self.base, "RetryRule base")

    @property
    def cap_s(self) -> float:
        """Upper bound of any wait, seconds."""
        return seconds(self.cap, "RetryRule cap")


@dataclass(frozen=True)
class Task:
    """A declared task. None means that the job's own setting counts, or the executor's.

    Attributes
    ----------
    uses
        Names of what the task calls (``smtp``), shared between tasks that fail together.
    concurrency
        At most this many attempts of the type at a time in one executor.
    """

    type: str
    function: Handler
    is_async: bool
    timeout_s: float | None = None
    max_attempts: int | None = None
    retry: RetryRule | None = None
    uses: tuple[str, ...] = ()
    concurrency: int | None = None
    payload_model: PayloadType | None = None
    cancel_grace_s: float | None = None

    @property
    def place(self) -> str:
        """Where the function stands: ``module.name (file:line)``."""
        inner = inspect.unwrap(self.function)
        while isinstance(inner, functools.partial):
            inner = inner.func
        name = f"{getattr(inner, '__module__', '?')}.{getattr(inner, '__qualname__', repr(inner))}"
        code = getattr(inner, "__code__", None)
        return name if code is None else f"{name} ({code.co_filename}:{code.co_firstlineno})"


class Registry:
    """The tasks of an app, by type."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}

    def add(self, task: Task) -> None:
        """Take a task in; the same function again (a module imported twice) replaces itself.

        Raises
        ------
        TaskDefinitionError
            Another function already has this type; the message names both places.
        """
        held = self._tasks.get(task.type)
        if held is not None and held.place != task.place:
            message = (
                f"two tasks are called {task.type!r}: {held.place} and {task.place}; "
                f"give one of them another name"
            )
            raise TaskDefinitionError(message)
        self._tasks[task.type] = task

    def merge(self, other: "Registry") -> None:
        """Take in every task of another registry; raises as ``add``."""
        for task in other.tasks():
            self.add(task)

    def get(self, task_type: str) -> Task | None:
        """Give the task of a type, None when there is none."""
        return self._tasks.get(task_type)

    def of(self, function: Handler) -> Task | None:
        """Give the task made from this very function, None when it was never declared."""
        return next((task for task in self._tasks.values() if task.function is function), None)

    def tasks(self) -> list[Task]:
        """All tasks, by type."""
        return [self._tasks[name] for name in sorted(self._tasks)]


default_registry = Registry()
"""Where the decorator puts tasks unless told otherwise; filled by importing the app's modules."""


def task(
    task_type: str,
    *,
    timeout: Duration | None = None,
    max_attempts: int | None = None,
    retry: RetryRule | None = None,
    uses: Iterable[str] = (),
    concurrency: int | None = None,
    payload: PayloadType | None = None,
    cancel_grace: Duration | None = None,
    registry: Registry = default_registry,
) -> Callable[[_F], _F]:
    """Declare a function ``(ctx, payload)``, sync or async, as the handler of a job type.

    The function itself is returned unchanged, so it can be called and tested as it is.

    Parameters
    ----------
    task_type
        The ``type`` of the jobs it runs, such as ``"email.send"``.
    timeout
        Limit of one attempt. An async handler is cancelled at it; a sync one sees ``ctx.cancelled``.
        One that goes on a few seconds longer loses its worker process.
    max_attempts
        Attempts before the job is dead, 1 to 50.
    retry
        Waits between attempts.
    uses
        Names of the dependencies it calls.
    concurrency
        At most this many attempts at a time in one executor.
    payload
        A pydantic model the handler gets an instance of; what does not fit fails the job for good.
    cancel_grace
        How long a cancelled attempt may go on; then an async handler is cancelled, and a process killed.

    Raises
    ------
    TaskDefinitionError
        Something is declared wrongly; the message names the remedy.
    """
    if not isinstance(task_type, str):
        raise TaskDefinitionError('@task needs the type of its jobs: write @task("email.send")')

    def declare(function: _F) -> _F:
        register_function(
            task_type,
            function,
            timeout=timeout,
            max_attempts=max_attempts,
            retry=retry,
            uses=uses,
            concurrency=concurrency,
            payload=payload,
            cancel_grace=cancel_grace,
            registry=registry,
        )
        return function

    return declare


def register_function(
    task_type: str,
    function: Handler,
    *,
    timeout: Duration | None = None,
    max_attempts: int | None = None,
    retry: RetryRule | None = None,
    uses: Iterable[str] = (),
    concurrency: int | None = None,
    payload: PayloadType | None = None,
    cancel_grace: Duration | None = None,
    registry: Registry = default_registry,
) -> Task:
    """Declare a function as a task without decorating it; options and errors as for ``task``."""
    made = Task(
        type=_checked_type(task_type),
        function=function,
        is_async=_checked_handler(task_type, function),
        timeout_s=_checked_limit(task_type, "timeout", timeout),
        max_attempts=_checked_count(task_type, "max_attempts", max_attempts, _ATTEMPTS_MAX),
        retry=retry,
        uses=_checked_uses(task_type, uses),
        concurrency=_checked_count(task_type, "concurrency", concurrency, None),
        payload_model=_checked_model(task_type, payload),
        cancel_grace_s=_checked_limit(task_type, "cancel_grace", cancel_grace),
    )
    registry.add(made)
    return made


def _checked_type(task_type: str) -> str:
    if len(task_type) <= _TYPE_NAME_MAX and _TYPE_NAME.fullmatch(task_type):
        return task_type
    message = (
        f"{task_type!r} is not a task type: lower case letters and digits, parted by single "
        f'". _ -", at most {_TYPE_NAME_MAX} characters, such as "email.send"'
    )
    raise TaskDefinitionError(message)


def _checked_handler(task_type: str, function: Handler) -> bool:
    """Whether the handler is async; refuses what cannot be called as ``(ctx, payload)``."""
    if not callable(function):
        raise TaskDefinitionError(f"task {task_type!r}: {function!r} is not a function")
    target: object = function
    while isinstance(target, functools.partial):
        target = target.func
    forms = (target, getattr(target, "__call__", None))  # noqa: B004 - the method of a callable object
    if any(inspect.isgeneratorfunction(form) or inspect.isasyncgenfunction(form) for form in forms):
        raise TaskDefinitionError(f"task {task_type!r}: {target!r} is a generator; return, do not yield")
    try:
        signature = inspect.signature(function)
        signature.bind(None, None)
    except (TypeError, ValueError) as error:
        message = (
            f"task {task_type!r}: {target!r} cannot be called as function(ctx, payload): {error}; "
            f"write def handler(ctx, payload)"
        )
        raise TaskDefinitionError(message) from None
    return any(inspect.iscoroutinefunction(form) for form in forms)


def _checked_limit(task_type: str, name: str, limit: Duration | None) -> float | None:
    if limit is None:
        return None
    limit_s = seconds(limit, f"{name} of task {task_type!r}")
    if limit_s > _TIMEOUT_MAX_S:
        raise TaskDefinitionError(f"{name} of task {task_type!r} is {limit!r}; at most a day (86400 s)")
    return limit_s


def _checked_count(task_type: str, name: str, count: object, most: int | None) -> int | None:
    if count is None:
        return None
    if not isinstance(count, int) or isinstance(count, bool) or count < 1 or (most and count > most):
        bound = "1 or more" if most is None else f"1 to {most}"
        raise TaskDefinitionError(f"{name} of task {task_type!r} is {count!r}; it must be {bound}")
    return count


def _checked_uses(task_type: str, uses: Iterable[str]) -> tuple[str, ...]:
    if isinstance(uses, str):
        raise TaskDefinitionError(f'uses of task {task_type!r} is a string; write uses=["{uses}"]')
    return tuple(uses)


def _checked_model(task_type: str, model: PayloadType | None) -> PayloadType | None:
    if model is None or callable(getattr(model, "model_validate_json", None)):
        return model
    raise TaskDefinitionError(f"payload of task {task_type!r} is {model!r}; give a pydantic model class")
