"""All scenarios, by name."""

from collections.abc import Mapping
from types import MappingProxyType

from tests.chaos.scenario import Scenario
from tests.chaos.scenarios import (
    brokers,
    cancels,
    disk,
    executors,
    failpoints,
    joins,
    kills,
    moments,
    network,
    orders,
    outages,
    schedules,
    shortages,
    stalls,
    submits,
    tables,
    upgrades,
    workflows,
)

ALL: tuple[Scenario, ...] = (
    *kills.SCENARIOS,
    *brokers.SCENARIOS,
    *joins.SCENARIOS,
    *network.SCENARIOS,
    *disk.SCENARIOS,
    *tables.SCENARIOS,
    *failpoints.SCENARIOS,
    *moments.SCENARIOS,
    *stalls.SCENARIOS,
    *submits.SCENARIOS,
    *executors.SCENARIOS,
    *shortages.SCENARIOS,
    *upgrades.SCENARIOS,
    *orders.SCENARIOS,
    *outages.SCENARIOS,
    *schedules.SCENARIOS,
    *cancels.SCENARIOS,
    *workflows.SCENARIOS,
)
BY_NAME: Mapping[str, Scenario] = MappingProxyType({scenario.name: scenario for scenario in ALL})
assert len(BY_NAME) == len(ALL), "two scenarios have one name"


def in_running_order(scenarios: tuple[Scenario, ...]) -> list[Scenario]:
    """Put those that share a stack beside each other, so that it is built once."""
    specs = list(dict.fromkeys(scenario.stack for scenario in scenarios))
    return sorted(scenarios, key=lambda scenario: specs.index(scenario.stack))
