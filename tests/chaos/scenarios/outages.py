"""What jobs call goes down and comes back, while the one who keeps the circuits is killed."""

import asyncio
from types import MappingProxyType

from adapters.kafka.admin import read_control
from core.breaker import State
from core.ledger.verdicts import Decided
from core.retry import CIRCUIT_POLICY
from schemas.standing_orders import StandingOrders
from tests.chaos.claims import broken, unless
from tests.chaos.effects import number_of_effects
from tests.chaos.evidence import Evidence, Violation
from tests.chaos.load import Load
from tests.chaos.orders import Kind, Mix
from tests.chaos.rig.process import wait_until
from tests.chaos.scenario import FaultDidNotBiteError, Field, Scenario
from tests.chaos.scenarios.kills import kill_service
from tests.chaos.spec import StackSpec

DOWN = f"chaos.{Kind.STEADY}"
DOWN_FLAG = "steady-is-down"
"""A file in the directory of a stack; as long as it is there, calls of `chaos.steady` fail."""
OPEN_WITHIN_S = 60.0
WORKED = 40
"""Attempts that end well before the outage: what never worked is no outage, and most of them are steady."""
BETWEEN_S = (2.0, 6.0)
KILLS = 2
OUTAGE = "what steady jobs call is down"
LOAD = Load(
    rate_per_s=15,
    mix=Mix(kinds=MappingProxyType({Kind.THREAD: 0.15, Kind.FAILING: 0.02, Kind.SLOW: 0.03})),
)
SPEC = StackSpec(services=MappingProxyType({"": MappingProxyType({"PENSTOCK_CIRCUITS": "on"})}))


def outage(field: Field) -> None:
    """Let every call of a type fail until its circuit is open, and on through kills of who keeps it."""
    flag = field.stack.directory / DOWN_FLAG
    wait_until(lambda: _worked(field) >= WORKED, "calls end well", OPEN_WITHIN_S, 0.5)
    with field.fault(OUTAGE):
        flag.touch()
        try:
            wait_until(lambda: state(field) is not State.CLOSED, "the circuit is open", OPEN_WITHIN_S, 0.5)
            for _ in range(KILLS):
                field.go_on(field.rng.uniform(*BETWEEN_S))
                kill_service("dlq_handler", field)
            if state(field) is State.CLOSED:
                raise FaultDidNotBiteError("the circuit did not stay open while everything failed")
        finally:
            flag.unlink()


def _worked(field: Field) -> int:
    query = "select count(*) from effects where kind = 'end' and outcome = 'ok'"
    return number_of_effects(field.stack.effects_url, query)


def state(field: Field) -> State:
    """Give how the circuit stands, by the newest word in the log."""
    orders = StandingOrders()
    for said in asyncio.run(read_control(field.stack.kafka, field.stack.routes)):
        orders.take(said)
    record = orders.circuits.get(DOWN)
    return State.CLOSED if record is None else record.state


def held_and_not_worn_out(evidence: Evidence) -> list[Violation]:
    """Ask that failures of the outage used up no attempt, and that no job died of it."""
    excused = 0
    found: list[Violation] = []
    for case in evidence.cases():
        for _, verdict, _ in case.verdicts:
            if isinstance(verdict, Decided) and verdict.policy == CIRCUIT_POLICY:
                excused += 1
                if verdict.due_ms is None:
                    found.append(broken("a failure that does not count ended its job", f"job {case.job_id}"))
    return found or unless(excused, "no failure was held against nobody")


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "dependency-down",
        "outage",
        "All calls of a type fail for a while, and the dlq_handler is killed twice meanwhile; its circuit "
        "opens, its jobs wait, and all of them succeed when calls do.",
        outage,
        stack=SPEC,
        load=LOAD,
        recovery_limit_s=180,
        check=held_and_not_worn_out,
    ),
)
