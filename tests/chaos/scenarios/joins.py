"""Executors that join and leave every two seconds."""

import time
from functools import partial

from tests.chaos.case import Case
from tests.chaos.evidence import Evidence, Violation
from tests.chaos.load import Load
from tests.chaos.scenario import FaultDidNotBiteError, Field, Scenario
from tests.chaos.scenarios.signs import wait_for_acknowledgements, wait_for_effects
from tests.chaos.spec import StackSpec

EVERY_S = 2.0
GUESTS_MAX = 2
STORM_S = 60.0
CALM_S = 15.0
BACK_TIMEOUT_S = 120.0
COORDINATOR_STORM_S = 30.0
AWAY_S = 8.0
PROGRESS = 0.5
"""Of what is done in the calm before, a storm must leave so much."""
CALM = "calm before the storm"


def storm(field: Field, guests: list[str], seconds: float) -> int:
    """Let an executor join, or the oldest guest leave in order, every two seconds; give how many did."""
    services = field.stack.services
    until_s, moves = time.monotonic() + seconds, 0
    while time.monotonic() < until_s:
        next_s = time.monotonic() + EVERY_S
        if len(guests) < GUESTS_MAX:
            guests += services.add("executor")
        else:
            services.remove(guests.pop(0))
        moves += 1
        field.go_on(max(0.0, next_s - time.monotonic()))
    return moves


def join_storm(field: Field) -> None:
    """Let executors join and leave for a minute; jobs must go on being done meanwhile."""
    guests: list[str] = []
    field.history.add("note", CALM)
    field.go_on(CALM_S)
    with field.fault("a storm of joins", seconds=STORM_S):
        try:
            moves = storm(field, guests, STORM_S)
        finally:
            for name in guests:
                field.stack.services.remove(name)
    if moves < STORM_S / EVERY_S / 2:
        raise FaultDidNotBiteError(f"executors came and went {moves} times in {STORM_S:.0f} s")
    field.stack.services.wait_ready()


def crash_coordinator(field: Field) -> None:
    """Kill the coordinator of the executors' group while executors come and go."""
    cluster, routes = field.stack.cluster, field.stack.routes
    coordinator = cluster.coordinator_of(routes.group(f"executor.{routes.pools[0]}"))
    guests: list[str] = []
    with field.fault(f"kill coordinator {coordinator.node_id} in a join storm"):
        try:
            storm(field, guests, 3 * EVERY_S)
            coordinator.kill()
            try:
                storm(field, guests, AWAY_S)
                wait_for_acknowledgements(field)
            finally:
                coordinator.start()
            cluster.wait_ready(BACK_TIMEOUT_S)
            storm(field, guests, COORDINATOR_STORM_S - AWAY_S)
        finally:
            for name in guests:
                field.stack.services.remove(name)
        wait_for_effects(field)
    cluster.wait_in_sync(BACK_TIMEOUT_S)
    field.stack.services.wait_ready()


def goes_on(share: float, evidence: Evidence) -> list[Violation]:
    """Ask that attempts end in the storm at more than a share of the rate before it."""
    calm = next(line for line in evidence.history if line.what == CALM).at_boot_s
    begin = next(line for line in evidence.history if line.event == "fault").at_boot_s
    end = next(line for line in evidence.history if line.event == "heal").at_boot_s
    ends = [at_s for case in evidence.cases() for at_s in _ends(case)]
    before = sum(calm <= at_s < begin for at_s in ends) / (begin - calm)
    during = sum(begin <= at_s < end for at_s in ends) / (end - begin)
    if before and during > share * before:
        return []
    what = f"{during:.1f} attempts ended a second in the storm, {before:.1f} before it"
    return [Violation("claim", "joins stop the work", what)]


def _ends(case: Case) -> list[float]:
    return [effect.at_boot_s for effect in case.effects if effect.kind == "end"]


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "executors-join-and-leave",
        "F23",
        "An executor joins or leaves every 2 s for a minute; work goes on at more than half its rate.",
        join_storm,
        load=Load(rate_per_s=20.0),
        recovery_limit_s=90,
        check=partial(goes_on, PROGRESS),
    ),
    Scenario(
        "coordinator-killed-in-a-join-storm",
        "F24",
        "Executors come and go while their group's coordinator dies; none is stuck and no effect repeats.",
        crash_coordinator,
        stack=StackSpec(brokers=3),
        load=Load(rate_per_s=10.0, after_s=5.0),
        recovery_limit_s=150,
    ),
)
