"""Recurring schedules, edited and paused, while those who fire and show them are killed."""

import time

import psycopg

from core.schedules import CatchUp, Overlap, wakes_at
from ports.failpoint_list import PLACES, Place
from ports.failpoints import Failpoint
from tests.chaos.armed import taken_over
from tests.chaos.gated_claims import SHOWN, each_tick_is_one_job
from tests.chaos.load import Load
from tests.chaos.orders import Kind
from tests.chaos.rig.process import wait_until
from tests.chaos.scenario import Field, Scenario
from tests.chaos.scenarios.failpoints import drive_to_kill
from tests.chaos.scenarios.kills import kill_service
from tests.chaos.timetable import EVERY_OTHER_SECOND, Timetable, plan_of

POINTS = frozenset({Failpoint.TICKS_DUE, Failpoint.TICKS_APPENDED, Failpoint.TICKS_SETTLED})
SHOWN_POINTS = frozenset(
    {
        Failpoint.SCHEDULES_OPEN,
        Failpoint.SCHEDULES_MOVED,
        Failpoint.SCHEDULES_MERGED,
        Failpoint.SCHEDULES_COMMITTED,
    }
)
ROUNDS = 2
BETWEEN_S = (0.5, 2.5)
SETTLED_TIMEOUT_S = 60.0
YEAR_MS = 365 * 86_400_000
LOOK_EVERY_S = 0.5
_SHOWN = "select name, fired from schedules where name = any(%s)"

PLANS = {
    "all": (CatchUp.ALL, plan_of(Kind.STEADY, 0.05, every_ms=700)),
    "queued": (
        CatchUp.ALL,
        plan_of(Kind.FLAKY, 0.3, fail_attempts=1, cron=EVERY_OTHER_SECOND, overlap=Overlap.QUEUE),
    ),
    "skips-pauses": (CatchUp.SKIP, plan_of(Kind.THREAD, 0.05, every_ms=1_100, anchor_ms=300)),
    "fires-pauses": (CatchUp.ALL, plan_of(Kind.STEADY, 0.05, every_ms=900, anchor_ms=450)),
    "moved": (CatchUp.ALL, plan_of(Kind.STEADY, 0.05, every_ms=1_500)),
    "jittered": (CatchUp.ALL, plan_of(Kind.STEADY, 0.05, every_ms=2_000, jitter_ms=1_500)),
}
PAUSED = ("skips-pauses", "fires-pauses")


def kill_through_ticks(field: Field) -> None:
    """Let schedules tick through kills and edits, and see them settled to the end."""
    table = Timetable(field.stack, field.history)
    # A stack that is used again has had schedules of these names.
    for name, (catch_up, plan) in PLANS.items():
        table.create(name, plan, catch_up)
    try:
        kill_at_random(field)
        for name in PAUSED:
            table.change(name, paused=True)
        kill_at_points(field, "scheduler", POINTS)
        table.change("moved", every_ms=1_000, anchor_ms=250)
        for name in PAUSED:
            table.change(name, paused=False)
        kill_at_points(field, "scheduler", POINTS)
        kill_at_points(field, "materializer", SHOWN_POINTS)
        kill_at_random(field)
        settle(field, table)
    finally:
        for name in PLANS:
            table.delete(name)


def kill_at_random(field: Field) -> None:
    """Kill the scheduler a few times whatever it does."""
    for _ in range(ROUNDS):
        field.go_on(field.rng.uniform(*BETWEEN_S))
        kill_service("scheduler", field)


def kill_at_points(field: Field, service: str, points: frozenset[Failpoint]) -> None:
    """Kill an instance of a service at points that are about schedules."""
    name = field.rng.choice([instance.name for instance in field.stack.services.of(service)])
    places = field.rng.sample(places_of(service, points), len(points))
    with field.fault(f"failpoints of {name}", points=len(places)), taken_over(field, name):
        for place in places:
            field.note(f"to be killed at {place.name}")
            drive_to_kill(field, name, place)


def places_of(service: str, points: frozenset[Failpoint]) -> list[Place]:
    """Give these points of a service."""
    return [place for place in PLACES if place.service == service and place.point in points]


def settle(field: Field, table: Timetable) -> None:
    """Let nothing tick any more, wait until what did is settled and shown, and note what is shown."""
    far_ms = int(time.time() * 1000) + YEAR_MS // 2
    for name in PLANS:
        # Not by a delete: what was due and had not fired then never would.
        table.change(name, cron=None, every_ms=YEAR_MS, anchor_ms=far_ms)

    def shown() -> dict[str, int]:
        with psycopg.connect(field.stack.database.conninfo) as connection:
            rows = connection.execute(_SHOWN, (list(PLANS),)).fetchall()
        return {str(name): int(fired) for name, fired in rows}

    def settled() -> bool:
        field.load.check()
        views = [table.view(name) for name in PLANS]
        wakes = [wakes_at(view.segments, view.fired.through_ms) for view in views]
        told = shown()
        return all(
            (wake or far_ms) >= far_ms and told.get(view.defined.name) == view.fired.fired
            for view, wake in zip(views, wakes, strict=True)
        )

    wait_until(settled, "all ticks settled and shown", SETTLED_TIMEOUT_S, LOOK_EVERY_S)
    for name, fired in shown().items():
        field.history.add("note", SHOWN, name=name, fired=fired)


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "schedules-through-scheduler-kills",
        "F33",
        "Schedules tick, are edited, paused and resumed while the scheduler and the table's keeper are "
        "killed between any two effects; each tick is one job, none is missing, and the table counts them.",
        kill_through_ticks,
        load=Load(rate_per_s=8),
        recovery_limit_s=90,
        check=each_tick_is_one_job,
    ),
)
