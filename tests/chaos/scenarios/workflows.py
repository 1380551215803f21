"""Kills of the scheduler while workflows run through it."""

from types import MappingProxyType

from core.states import State
from ports.failpoint_list import PLACES, Place
from ports.failpoints import Failpoint
from tests.chaos.armed import taken_over
from tests.chaos.checkers.gated import Members
from tests.chaos.evidence import Evidence, Violation
from tests.chaos.load import Load
from tests.chaos.orders import Kind, Mix
from tests.chaos.scenario import Field, Scenario
from tests.chaos.scenarios.failpoints import drive_to_kill
from tests.chaos.scenarios.kills import kill_service

AT_RANDOM = 5
BETWEEN_S = (0.5, 3.0)
POINTS = frozenset(
    {
        Failpoint.OPENING,
        Failpoint.OPENED,
        Failpoint.ADMITTED,
        Failpoint.ADMITTED_APPENDED,
        Failpoint.WORKED,
        Failpoint.COMMITTED,
        Failpoint.BATCH_ACKNOWLEDGED,
        Failpoint.IMAGE_TAKEN,
        Failpoint.MANIFEST_APPENDED,
    }
)
"""Where jobs of workflows stand between two effects, and where the state of gates is written down."""
WORKFLOWS_MIN = 15
SKIPPED_BY_SKIPPED_MIN = 3

LOAD = Load(
    rate_per_s=15,
    mix=Mix(
        kinds=MappingProxyType(
            {Kind.THREAD: 0.1, Kind.FLAKY: 0.1, Kind.FAILING: 0.08, Kind.SLOW: 0.06, Kind.POISON: 0.01}
        ),
        due=0.08,
        cancelled=0.04,
        ordered=0.15,
        workflows=0.08,
        slow_s=(0.5, 2.0),
    ),
)
"""Half of all jobs belong to workflows, and one in three of these fails somewhere."""


def kill_in_workflows(field: Field) -> None:
    """Kill the scheduler at points that are about gates, and between them whenever it comes."""
    name = field.rng.choice([instance.name for instance in field.stack.services.of("scheduler")])
    for _ in range(AT_RANDOM):
        field.go_on(field.rng.uniform(*BETWEEN_S))
        kill_service("scheduler", field)
    places = field.rng.sample(points(), len(POINTS))
    with field.fault(f"failpoints of {name}", points=len(places)), taken_over(field, name):
        for place in places:
            field.note(f"to be killed at {place.name}")
            drive_to_kill(field, name, place)


def points() -> list[Place]:
    """Give the places of the scheduler that are about gates."""
    return [place for place in PLACES if place.service == "scheduler" and place.point in POINTS]


def workflows_went_through(evidence: Evidence) -> list[Violation]:
    """Ask that there were workflows to lose: many, with fan-in, with jobs skipped for skipped ones."""
    members = Members()
    for case in evidence.cases():
        members.take(case)
    workflows = {member.workflow for member in members.by_id.values() if member.workflow is not None}
    through_skipped = fans_in = 0
    for child, parents in members.children():
        fans_in += len(parents or ()) > 1 and child.state is State.SUCCEEDED
        bad = {parent.state for parent in parents or () if parent.state is not State.SUCCEEDED}
        through_skipped += child.state is State.SKIPPED and bad == {State.SKIPPED}
    said = f"{len(workflows)} workflows, {fans_in} fan-ins, {through_skipped} skipped for skipped ones alone"
    enough = len(workflows) >= WORKFLOWS_MIN and fans_in and through_skipped >= SKIPPED_BY_SKIPPED_MIN
    return [] if enough else [Violation("claim", "the fault did not bite", said)]


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "scheduler-killed-in-workflows",
        "F33",
        "The scheduler is killed again and again, also between any two effects, while workflows of several "
        "layers run; each job starts once, after all it depends on, and what must not run is skipped.",
        kill_in_workflows,
        load=LOAD,
        recovery_limit_s=120,
        check=workflows_went_through,
    ),
)
