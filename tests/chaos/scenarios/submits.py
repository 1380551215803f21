"""Producers that misbehave."""

from types import MappingProxyType

from tests.chaos.claims import no_service_ended
from tests.chaos.evidence import Evidence, Violation
from tests.chaos.load import Load
from tests.chaos.orders import Kind, Mix
from tests.chaos.scenario import Field, Scenario
from tests.chaos.scenarios.signs import wait_for_effects

SUBMITTERS = 50
STORMS = 3
FLOOD_S = 20.0
FLOOD = Load(
    mix=Mix(kinds=MappingProxyType({Kind.POISON: 0.5, Kind.THREAD: 0.1, Kind.FLAKY: 0.05}), hostile=0.2)
)
REJECTED_MIN = 200


def submit_in_a_storm(field: Field) -> None:
    """Let 50 clients submit one job under one key at once; the last time while the gate's keeper is dead."""
    services = field.stack.services
    for number in range(STORMS):
        with field.fault("storm of one key", submitters=SUBMITTERS):
            if number == STORMS - 1:
                services.kill(field.rng.choice([one.name for one in services.of("scheduler")]))
            answered = field.load.storm(SUBMITTERS)
            if len(answered) != 1:
                raise AssertionError(f"{SUBMITTERS} submissions of one key were answered with {answered}")
            services.wait_ready()


def flood_with_poison(field: Field) -> None:
    """Let half of all records be no jobs, some of them made to hurt; jobs among them go on."""
    with field.fault("half of all records are no jobs", seconds=FLOOD_S):
        field.go_on(FLOOD_S)
        wait_for_effects(field)
    field.stack.services.wait_ready()


def nobody_minds(evidence: Evidence) -> list[Violation]:
    """Ask that poison was rejected in numbers, and that no service ended by it."""
    rejected = sum(record.rejected is not None for case in evidence.cases() for record in case.records)
    found = no_service_ended(evidence)
    if rejected < REJECTED_MIN:
        found.append(Violation("claim", "hardly anything was rejected", f"{rejected} records"))
    return found


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "one-key-in-a-storm",
        "F34",
        "Fifty clients submit one idempotency key at once; it is one job, and all are told the same id.",
        submit_in_a_storm,
        subset=True,
    ),
    Scenario(
        "records-of-poison",
        "F25",
        "Half of all records are no jobs, some made to hurt; each is rejected with its reason, jobs go on.",
        flood_with_poison,
        load=FLOOD,
        check=nobody_minds,
    ),
)
