import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.runtime.failpoints import parse
from core.services import SERVICES
from ports.failpoint_list import PLACES, Place
from ports.failpoints import Failpoint, arm, reached
from tests.chaos.scenarios import failpoints as walks
from tests.chaos.scenarios.catalog import BY_NAME
from tests.support.failpoint_document import DOCUMENT, renewed
from tests.support.failpoint_rules import ROOT, effects_of, points_in_code, sources, unguarded


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    arm({})


def test_a_place_that_is_not_armed_does_nothing() -> None:
    passed: list[Failpoint] = []
    reached(Failpoint.POLLED)
    arm({Failpoint.WORKED: lambda: passed.append(Failpoint.WORKED)})
    reached(Failpoint.POLLED)
    assert not passed
    reached(Failpoint.WORKED)
    assert passed == [Failpoint.WORKED]


def test_a_place_beside_an_effect_that_had_nothing_to_do_is_not_reached() -> None:
    passed: list[Failpoint] = []
    arm({Failpoint.WORKED: lambda: passed.append(Failpoint.WORKED)})
    reached(Failpoint.WORKED, when=[])
    assert not passed
    reached(Failpoint.WORKED, when=["something"])
    assert passed


def test_every_effect_of_every_step_has_a_failpoint_on_each_side() -> None:
    problems = [
        problem for path in sources() for problem in unguarded(path.read_text(), str(path.relative_to(ROOT)))
    ]
    assert not problems, "\n".join(problems)


def test_the_rule_sees_the_effects_of_all_services() -> None:
    # Renaming what the rule looks for would make it see nothing.
    seen = Counter(
        path.relative_to(ROOT).parts[1] if path.is_relative_to(ROOT / "services") else "shared"
        for path in sources()
        for _ in effects_of(path.read_text())
    )
    # ingest and prioritizer append; scheduler appends and commits twice; the materializer's are in the sink.
    least = {"ingest": 1, "prioritizer": 1, "scheduler": 3, "executor": 12, "dlq_handler": 4, "shared": 10}
    assert {name: seen[name] for name in least if seen[name] < least[name]} == {}


A, B, C = (f"reached(Failpoint.{name})\n" for name in "ABC")
APPEND, COMMIT = " await self._appender.append(x)\n ", "await member.commit(1, y)\n "


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        (f"{A}{APPEND}{B}", 0),
        (f"{APPEND}{B}", 1),
        (f"{A}{APPEND}", 1),
        (f"{A}{APPEND}{COMMIT}{B}", 2),
        (f"{A}{APPEND}{B} {COMMIT}{C}", 0),
        (f"if due and await member.commit(1, y):\n  {B}", 1),
        (f"{A} def inner():\n  {B} workers.submit(x)\n", 1),
        (f"{A} async with c.transaction():\n  await self._move(x)\n  {B}  await self._merge(x)\n {C}", 2),
    ],
)
def test_an_effect_without_a_failpoint_beside_it_is_named(body: str, problems: int) -> None:
    assert len(unguarded(f"async def step(self):\n {body.strip()}\n", "step.py")) == problems


def test_every_failpoint_in_the_code_is_listed_for_the_services_that_run_it() -> None:
    listed = {(place.service, place.point.name) for place in PLACES}
    in_code = points_in_code()
    own = {(service, point) for service, points in in_code.items() if service for point in points}
    assert own <= listed
    assert in_code[""] <= {point for _, point in listed}
    # Nothing is listed for a service that neither its own code nor shared code reaches.
    reachable = own | {(service.name, point) for service in SERVICES for point in in_code[""]}
    assert listed <= reachable


def test_every_failpoint_is_listed_once_for_a_service_and_for_some_service() -> None:
    assert max(Counter(place.name for place in PLACES).values()) == 1
    assert {place.point for place in PLACES} == set(Failpoint)


def test_no_failpoint_of_one_service_stands_in_the_code_twice() -> None:
    # Two places under one name could not be driven apart.
    for service in ("", *(service.name for service in SERVICES)):
        found = Counter(_points_of(service))
        assert [name for name, count in found.items() if count > 1] == []


def _points_of(service: str) -> Iterator[str]:
    directory = ROOT / "services" / service
    files = [p for p in sources() if p.is_relative_to(directory)] if service else _shared_sources()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "reached":
                yield ast.unparse(node.args[0])


def _shared_sources() -> list[Path]:
    return [path for path in sources() if not path.is_relative_to(ROOT / "services")]


def test_the_document_names_every_failpoint() -> None:
    text = DOCUMENT.read_text()
    assert text == renewed(text), "run `python -m tests.support.failpoint_document`"


def test_every_failpoint_is_driven_to_kill() -> None:
    assert walks.not_walked(PLACES) == []
    foreign = Place("curator", Failpoint.POLLED, "records are taken")
    assert walks.not_walked([*PLACES, foreign]) == ["curator.polled"]
    assert all(BY_NAME[scenario.name] is scenario for scenario in walks.SCENARIOS)
    assert len(walks.SCENARIOS) == len({place.service for place in PLACES})


def test_what_brings_a_failpoint_about_is_known_for_listed_ones_only() -> None:
    listed = {place.point for place in PLACES}
    assert set(walks.SITUATIONS) <= listed
    assert listed >= walks.OFTEN
    # One that needs a situation does not come by again and again, so passings must not be waited for.
    assert not walks.OFTEN & set(walks.SITUATIONS)


def test_orders_for_failpoints_on_the_way_can_be_read() -> None:
    for situation in walks.SITUATIONS.values():
        parse(";".join(situation.orders))
