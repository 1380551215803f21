"""The context of an executor under test."""

from collections.abc import Callable

from adapters.telemetry.prometheus import PrometheusMeter
from ports.log import Appender
from schemas.topics import RouteMap
from services.executor.context import ExecutorContext
from tests.support.outcomes import unheard


def executor_context(
    routes: RouteMap,
    appender: Appender,
    now_ms: Callable[[], int] = lambda: 5,
    now_s: Callable[[], float] = lambda: 1.0,
    *,
    instance: str = "executor-0",
) -> ExecutorContext:
    """Give the context of an executor of the default pool, to whose outcomes nobody listens."""
    return ExecutorContext(
        routes, appender, PrometheusMeter(), "default", instance, "0", now_ms, now_s, outcomes=unheard(routes)
    )
