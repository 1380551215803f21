"""SIGKILL at every failpoint of every service, one after the other, while jobs flow.

The points come from the list in the product. Each run of the service recovers from the kill before it and
dies at the next point; what one of them left wrong is in the log at the end, where the checkers look.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import TypeVar

from adapters.kafka.appender import appending
from core.breaker import CLOSED, Circuit, opened
from core.log import NewRecord
from core.services import LEARNING
from core.subjects import Scope
from ports.failpoint_list import PLACES, Place
from ports.failpoints import Failpoint
from schemas.control import LimitRecord, PauseRecord
from schemas.standing_orders import circuit_record, limit_record, pause_record, record_of_circuit
from tests.chaos.armed import READY_TIMEOUT_S, ArmedRun, taken_over
from tests.chaos.learned import require_whole_models, wait_for_equal_features
from tests.chaos.load import Load
from tests.chaos.orders import Kind, Mix
from tests.chaos.rig.patience import PATIENCE
from tests.chaos.rig.process import NOTHING, wait_until
from tests.chaos.scenario import FaultDidNotBiteError, Field, Scenario
from tests.chaos.spec import StackSpec

SPEC = StackSpec()
AFTER_MAX = 3
REACH_TIMEOUT_S = 180.0
LOOK_EVERY_S = 0.05
LIMITED_TYPE = f"chaos.{Kind.STEADY}"
LIMIT_PER_S = 2.0
"""A third of what comes: the rest is held, and ends soon enough once the limit is lifted."""
PAUSE_S = 2.0
T = TypeVar("T")

LOAD = Load(
    rate_per_s=12,
    mix=Mix(
        kinds=MappingProxyType(
            {Kind.THREAD: 0.1, Kind.FLAKY: 0.12, Kind.FAILING: 0.06, Kind.SLOW: 0.12, Kind.POISON: 0.01}
        ),
        due=0.1,
        cancelled=0.2,
        ordered=0.15,
        workflows=0.03,
    ),
)
"""All ways in which a job can go, the rare ones often; few enough to be caught up with afterwards."""


@dataclass(frozen=True)
class Situation:
    """What it takes to get a service to a point that a load alone does not lead it to.

    Attributes
    ----------
    environment
        For the run that is to reach it.
    orders
        For other failpoints of that run.
    bring
        Does what brings it about, when the run has begun.
    again_s
        Does it again as long as the point is not reached.
    """

    environment: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    orders: tuple[str, ...] = ()
    bring: Callable[[Field, ArmedRun], None] | None = None
    again_s: float = REACH_TIMEOUT_S


def ask_to_stop(_field: Field, run: ArmedRun) -> None:
    """End the run in order as soon as it does its work."""
    wait_until(
        lambda: run.instance.is_ready or not run.is_alive, f"{run.instance.name} ready", READY_TIMEOUT_S
    )
    run.instance.process.ask_to_stop()


def kill_an_executor(field: Field, _run: ArmedRun) -> None:
    """Leave claims that nobody works on; the executor is started again under a new boot id."""
    services = field.stack.services
    name = field.rng.choice([instance.name for instance in services.of("executor")])
    field.note(f"{name} is killed for its claims")
    services.kill(name)


def limit_a_type(field: Field, _run: ArmedRun) -> None:
    """Let steady jobs start less often than they come: more wait than executors have room for."""
    order(field, limit_record(field.stack.routes, LimitRecord(Scope.TYPE, LIMITED_TYPE, LIMIT_PER_S)))
    field.note(f"{LIMITED_TYPE} is limited to {LIMIT_PER_S:g}/s")


def pause_a_type(field: Field, _run: ArmedRun) -> None:
    """Hold what comes of a type for a moment, and let it go on."""
    for paused in (True, False):
        order(field, pause_record(field.stack.routes, PauseRecord(Scope.TYPE, LIMITED_TYPE, paused)))
        field.note(f"{LIMITED_TYPE} is {'paused' if paused else 'resumed'}")
        if paused:
            field.go_on(PAUSE_S)


def open_a_circuit(field: Field, _run: ArmedRun) -> None:
    """Let a type through as probes alone; these succeed, so the one who keeps circuits moves it on."""
    now_ms = int(time.time() * 1000)
    order(field, _circuit(field, opened(CLOSED, 1.0, "a walk", now_ms)))
    field.note(f"the circuit of {LIMITED_TYPE} is opened")


def _circuit(field: Field, circuit: Circuit) -> NewRecord:
    return circuit_record(field.stack.routes, record_of_circuit(LIMITED_TYPE, circuit, ()))


def lift_orders(field: Field) -> None:
    """Let everything start again."""
    routes = field.stack.routes
    order(
        field,
        limit_record(routes, LimitRecord(Scope.TYPE, LIMITED_TYPE, None)),
        pause_record(routes, PauseRecord(Scope.TYPE, LIMITED_TYPE, paused=False)),
        _circuit(field, CLOSED),
    )


def order(field: Field, *records: NewRecord) -> int:
    """Append records to ``control``; give the broker's time of the last."""

    async def append() -> int:
        async with appending(field.stack.kafka, client_id="chaos-orders") as appender:
            return (await appender.append(records))[-1].timestamp_ms

    return asyncio.run(append())


_STOPS = Situation({"PENSTOCK_DRAIN_GRACE_S": "0.5"}, bring=ask_to_stop)
_LOSES = Situation(bring=kill_an_executor, again_s=2 * SPEC.lease_s + 8)
_SNAPSHOTS = Situation(
    {
        "PENSTOCK_SNAPSHOT_EVERY": "1",
        "PENSTOCK_SNAPSHOT_NOT_BEFORE_S": "0.2",
        "PENSTOCK_GATES_SNAPSHOT_EVERY": "1",
        "PENSTOCK_GATES_SNAPSHOT_NOT_BEFORE_S": "0.2",
    }
)
_TRIMS = Situation({"PENSTOCK_JANITOR_S": "0.5", "PENSTOCK_JANITOR_STEP_RECORDS": "1"})
_TELLS = Situation({"PENSTOCK_GATES_TOLD_EVERY_S": "0.5"})
_LIMITS = Situation(bring=limit_a_type)
_CIRCUITS = Situation({"PENSTOCK_CIRCUITS": "on"}, bring=open_a_circuit, again_s=45.0)
_PAUSES = Situation(bring=pause_a_type, again_s=3 * PAUSE_S)
_MARKS = Situation({"PENSTOCK_GATES_TOLD_EVERY_S": "0.5"}, bring=pause_a_type, again_s=3 * PAUSE_S)
# A claim that is read back a third of a lease later is too old to start. Not each is: after three in a row,
# on a machine that has no time for it, the lease is over before anything is handed back.
_CLAIMS_TOO_LATE = Situation(
    orders=(f"executor.claim_appended:block:times=0:p=0.3:s={SPEC.lease_s / 3 + 0.3}",)
)
_TRAINS = Situation(
    {
        "PENSTOCK_TRAINER_CHECK_S": "0.5",
        "PENSTOCK_TRAINER_EVERY_S": "0",
        "PENSTOCK_TRAINER_FIRST_ENDS": "20",
        "PENSTOCK_TRAINER_FIRST_FAILURES": "1",
        "PENSTOCK_TRAINER_NEW_ENDS": "0",
    }
)
_LAPSES = Situation(orders=(f"executor.lease_renewed:block:after=3:s={SPEC.lease_s + 1}",))

SITUATIONS: Mapping[Failpoint, Situation] = MappingProxyType(
    {
        Failpoint.STOPPING: _STOPS,
        Failpoint.LAST_COMMITTED: _STOPS,
        Failpoint.LEFT: _STOPS,
        Failpoint.DRAINING: _STOPS,
        Failpoint.DRAINED: _STOPS,
        Failpoint.GOODBYE_SAID: _STOPS,
        Failpoint.HANDING_BACK: _CLAIMS_TOO_LATE,
        Failpoint.HANDED_BACK: _CLAIMS_TOO_LATE,
        Failpoint.LAPSED: _LAPSES,
        Failpoint.WORKERS_KILLED: _LAPSES,
        Failpoint.SILENCE_SEEN: _LOSES,
        Failpoint.PROBE_APPENDED: _LOSES,
        Failpoint.LOSS_PROVEN: _LOSES,
        Failpoint.LOST_ATTEMPT_APPENDED: _LOSES,
        Failpoint.LOST_APPENDED: _LOSES,
        Failpoint.IMAGE_TAKEN: _SNAPSHOTS,
        Failpoint.CHUNK_APPENDED: _SNAPSHOTS,
        Failpoint.MANIFEST_APPENDED: _SNAPSHOTS,
        Failpoint.SNAPSHOT_READ_BACK: _SNAPSHOTS,
        Failpoint.TOMBSTONES_APPENDED: _SNAPSHOTS,
        Failpoint.MARKS_KNOWN: _TRIMS,
        Failpoint.PASSAGES_DUE: _TELLS,
        Failpoint.PASSAGES_APPENDED: _TELLS,
        Failpoint.PARKING: _LIMITS,
        Failpoint.PARKED: _LIMITS,
        Failpoint.DEMAND_DUE: _LIMITS,
        Failpoint.DEMAND_APPENDED: _LIMITS,
        Failpoint.CIRCUITS_DUE: _CIRCUITS,
        Failpoint.CIRCUITS_TOLD: _CIRCUITS,
        Failpoint.HELD_TAKEN: _PAUSES,
        Failpoint.HELD_HANDED_ON: _PAUSES,
        Failpoint.HELD_TOLD: _PAUSES,
        Failpoint.HELD_MARKS_DUE: _MARKS,
        Failpoint.HELD_MARKS_APPENDED: _MARKS,
    }
)
"""Points not named here are reached by a service that runs under the load."""
OF_ONE_SERVICE: Mapping[tuple[str, Failpoint], Situation] = MappingProxyType(
    {
        # It tells of what executors cannot: work that was lost, or handed back.
        ("dlq_handler", Failpoint.OUTCOMES_TAKEN): _LOSES,
        ("dlq_handler", Failpoint.OUTCOMES_APPENDED): _LOSES,
    }
)
"""Points that most services pass under the load, and one does not."""
OF_SERVICES: Mapping[str, Situation] = MappingProxyType({"trainer": _TRAINS})
"""What it takes to lead a service to most of its points."""

OFTEN = frozenset(
    {
        Failpoint.POLLED,
        Failpoint.WORKED,
        Failpoint.COMMITTED,
        Failpoint.DECIDED,
        Failpoint.APPENDED,
        Failpoint.ADMITTED,
        Failpoint.DUE,
        Failpoint.ADMITTED_APPENDED,
        Failpoint.RELEASED_APPENDED,
        Failpoint.HEARTBEAT_DUE,
        Failpoint.HEARTBEAT_APPENDED,
        Failpoint.LEASE_RENEWED,
        Failpoint.CLAIM_DECIDED,
        Failpoint.CLAIM_APPENDED,
        Failpoint.CLAIM_READ_BACK,
        Failpoint.STARTED,
        Failpoint.TASK_ENDED,
        Failpoint.CLOSURE_APPENDED,
        Failpoint.CLOSURE_READ,
        Failpoint.DECISION_APPENDED,
        Failpoint.DECISION_READ_BACK,
        Failpoint.TABLE_OPEN,
        Failpoint.POSITIONS_MOVED,
        Failpoint.ROWS_MERGED,
        Failpoint.TABLE_COMMITTED,
    }
)
"""Passed on and on, so a drawn number of passings may go by before the kill."""


_TICKS = "there are no schedules here; `schedules-through-scheduler-kills` kills there"
_MODELS = "there are no models here; `tests/integration/test_model_table.py` kills there"
_DESK = "nobody works at the desk here; `tests/integration/test_desk_table.py` kills there"
_KINDS = "kinds of failures are learned once; `tests/integration/test_signatures.py` kills there"
_COSTS = "what a pool costs moves once; `tests/unit/services/trainer/test_trainer_round.py` crashes there"
_STANDING = "so few jobs promote no model; `tests/unit/services/trainer/test_trainer_round.py` crashes there"
LEFT_OUT: Mapping[Failpoint, str] = MappingProxyType(
    {
        Failpoint.TRIMMED: "what is trimmed from `jobs` is gone for the audit of every record",
        Failpoint.TICKS_DUE: _TICKS,
        Failpoint.TICKS_APPENDED: _TICKS,
        Failpoint.TICKS_SETTLED: _TICKS,
        Failpoint.SCHEDULES_OPEN: _TICKS,
        Failpoint.SCHEDULES_MOVED: _TICKS,
        Failpoint.SCHEDULES_MERGED: _TICKS,
        Failpoint.SCHEDULES_COMMITTED: _TICKS,
        Failpoint.MODELS_OPEN: _MODELS,
        Failpoint.MODELS_MOVED: _MODELS,
        Failpoint.MODELS_MERGED: _MODELS,
        Failpoint.MODELS_COMMITTED: _MODELS,
        Failpoint.DESK_OPEN: _DESK,
        Failpoint.DESK_MOVED: _DESK,
        Failpoint.DESK_MERGED: _DESK,
        Failpoint.DESK_COMMITTED: _DESK,
        Failpoint.MODELS_REMOVED: "too few models; `tests/unit/ports/test_model_shelf.py` crashes there",
        Failpoint.SIGNATURES_DUE: _KINDS,
        Failpoint.SIGNATURES_TOLD: _KINDS,
        Failpoint.SIGNATURES_OPEN: _KINDS,
        Failpoint.SIGNATURES_MOVED: _KINDS,
        Failpoint.SIGNATURES_MERGED: _KINDS,
        Failpoint.SIGNATURES_COMMITTED: _KINDS,
        Failpoint.STANDING_DUE: _STANDING,
        Failpoint.STANDING_TOLD: _STANDING,
        Failpoint.LAWS_DUE: _COSTS,
        Failpoint.LAWS_TOLD: _COSTS,
    }
)
"""Points that no walk can go to, and why; ``tests/model``, or the test that is named, crashes there."""


def places_of(service: str) -> list[Place]:
    """Give the points that the walk of a service goes to, in the order of the list."""
    return [place for place in PLACES if place.service == service and place.point not in LEFT_OUT]


def walk(service: str, field: Field) -> None:
    """Kill one instance at each point of its service, beginning at a drawn one."""
    name = field.rng.choice([instance.name for instance in field.stack.services.of(service)])
    places = rotated(places_of(service), field)
    with field.fault(f"failpoints of {name}", points=len(places)), taken_over(field, name):
        try:
            for place in places:
                field.note(f"to be killed at {place.name}")
                drive_to_kill(field, name, place)
        finally:
            lift_orders(field)


def rotated(places: list[T], field: Field) -> list[T]:
    """Begin at a drawn one; neighbours stay neighbours, so a kill is followed by one a step further on."""
    first = field.rng.randrange(len(places))
    return places[first:] + places[:first]


def drive_to_kill(field: Field, name: str, place: Place) -> None:
    """Run the instance until it has killed itself there.

    Raises
    ------
    FaultDidNotBiteError
        It did not come by, or ended otherwise.
    """
    usual = SITUATIONS.get(place.point, OF_SERVICES.get(place.service, Situation()))
    situation = OF_ONE_SERVICE.get((place.service, place.point), usual)
    after = field.rng.randint(0, AFTER_MAX) if place.point in OFTEN else 0
    orders = (*situation.orders, f"{place.name}:kill:after={after}")
    run = ArmedRun(field, name, ";".join(orders), situation.environment)
    limit_s = PATIENCE.limit_s(REACH_TIMEOUT_S)
    deadline_s = time.monotonic() + limit_s
    bring_at_s = time.monotonic()
    while run.is_alive:
        field.load.check()
        if time.monotonic() > deadline_s:
            raise FaultDidNotBiteError(f"{name} did not come by {place.name} within {limit_s:.0f} s")
        if situation.bring is not None and time.monotonic() >= bring_at_s:
            situation.bring(field, run)
            bring_at_s = time.monotonic() + situation.again_s
        time.sleep(LOOK_EVERY_S)
    run.require_killed_at(place.name)


WALKED: Mapping[str, str] = MappingProxyType(
    {
        "ingest": "no record is lost or taken in twice",
        "scheduler": "what waits is released once and not early",
        "prioritizer": "no dispatch is lost or queued to run twice",
        "executor": "what ran is closed or lost and runs again, never beside itself",
        "dlq_handler": "every failure and every loss is decided and carried out once",
        "materializer": "the table ends equal to the fold",
        "features": "what is known of tenants and types ends equal to a fold that never stopped",
        "trainer": "every model there is can be read whole, and who orders is one of them",
    }
)
"""Services whose failpoints are walked, and what must hold."""


def not_walked(places: Iterable[Place]) -> list[str]:
    """Name the failpoints that no scenario drives to kill."""
    return [place.name for place in places if place.service not in WALKED and place.point not in LEFT_OUT]


def walk_learning(service: str, field: Field) -> None:
    """Kill a service that only learns at each of its failpoints, and look at what it has made."""
    walk(service, field)
    if service == "trainer":
        require_whole_models(field)
    else:
        wait_for_equal_features(field)


def _walk(service: str, promise: str) -> Scenario:
    learns = service in LEARNING
    return Scenario(
        f"{service.replace('_', '-')}-failpoints",
        "failpoint",
        f"{service} is killed at each of its failpoints, one after the other; {promise}.",
        partial(walk_learning if learns else walk, service),
        stack=replace(SPEC, learning=learns),
        load=LOAD,
        recovery_limit_s=120.0,
    )


SCENARIOS: tuple[Scenario, ...] = tuple(_walk(service, promise) for service, promise in WALKED.items())
