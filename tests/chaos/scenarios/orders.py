"""Pauses and rate limits, while everybody who must keep to them is killed."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import MappingProxyType

from core.subjects import Scope
from schemas.control import LimitRecord, PauseRecord
from schemas.standing_orders import limit_record, pause_record
from tests.chaos.evidence import Evidence, Violation
from tests.chaos.gated_claims import ORDERED, limits_are_kept, nothing_starts_while_it_is_paused
from tests.chaos.load import Load
from tests.chaos.orders import Kind, Mix
from tests.chaos.scenario import Field, Scenario
from tests.chaos.scenarios.failpoints import lift_orders, order
from tests.chaos.scenarios.kills import kill_executor, kill_service

LIMITED = f"chaos.{Kind.STEADY}"
LIMIT_PER_S = 8.0
BURST = 2.0
PAUSED = f"chaos.{Kind.THREAD}"
BETWEEN_S = (1.0, 3.0)
FREE_S = 6.0
LOAD = Load(
    rate_per_s=20,
    mix=Mix(
        kinds=MappingProxyType({Kind.THREAD: 0.3, Kind.FLAKY: 0.06, Kind.FAILING: 0.02, Kind.SLOW: 0.03}),
        ordered=0.05,
    ),
)
"""Twelve steady jobs a second are limited to eight; what is too many is held."""


def kill_under_orders(field: Field) -> None:
    """Limit one type, and pause another twice, while executors, scheduler and prioritizer are killed."""
    try:
        with limited(field, LIMITED, LIMIT_PER_S, BURST):
            for _ in range(2):
                with paused(field, PAUSED):
                    kill_them(field)
                field.go_on(FREE_S)
            kill_them(field)
    finally:
        lift_orders(field)


def kill_them(field: Field) -> None:
    """Kill each of those who hold, hand on and claim, one after the other, in a drawn order."""
    for service in field.rng.sample(("executor", "scheduler", "prioritizer"), 3):
        field.go_on(field.rng.uniform(*BETWEEN_S))
        if service == "executor":
            kill_executor(field)
        else:
            kill_service(service, field)
    field.go_on(BETWEEN_S[1])


@contextmanager
def paused(field: Field, name: str) -> Iterator[None]:
    """Pause a type for the length of the block."""
    for pausing in (True, False):
        at_ms = order(field, pause_record(field.stack.routes, PauseRecord(Scope.TYPE, name, pausing)))
        _note(field, "pause", name, at_ms, 0.0, lifts=not pausing)
        if pausing:
            yield


@contextmanager
def limited(field: Field, name: str, rate_per_s: float, burst: float) -> Iterator[None]:
    """Limit a type for the length of the block."""
    for rate in (rate_per_s, None):
        record = limit_record(field.stack.routes, LimitRecord(Scope.TYPE, name, rate, burst))
        at_ms = order(field, record)
        _note(field, "limit", name, at_ms, rate_per_s, lifts=rate is None)
        if rate is not None:
            yield


def _note(field: Field, about: str, name: str, at_ms: int, rate_per_s: float, *, lifts: bool) -> None:
    field.history.add(
        "note", ORDERED, about=about, type=name, at_ms=at_ms, rate_per_s=rate_per_s, lifts=lifts
    )


def orders_are_kept(evidence: Evidence) -> list[Violation]:
    """Ask both."""
    return [*nothing_starts_while_it_is_paused(evidence), *limits_are_kept(evidence)]


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "paused-and-limited-through-kills",
        "kill",
        "One type is limited and another paused and resumed while executors, scheduler and prioritizer are "
        "killed; what is paused does not start, no 10 s have more than the limit, and all ends.",
        kill_under_orders,
        load=LOAD,
        recovery_limit_s=90,
        check=orders_are_kept,
    ),
)
