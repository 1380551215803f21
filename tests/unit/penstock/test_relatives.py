"""Results of parents, and jobs a task adds."""

from datetime import UTC, datetime
from typing import Any

import pytest

from penstock.context import Context
from penstock.errors import PermanentError
from penstock.identity import job_id_of_spawned, job_id_of_step
from penstock.relatives import ParentResults, ParentResultsUnavailable, Spawned
from penstock.testing import run_task

PARENT = "00000000-0000-0000-0000-000000000001"


def test_results_are_found_by_id_and_by_the_name_in_the_workflow() -> None:
    named = job_id_of_step("t", "w", "extract")
    parents = ParentResults({named: b'{"rows": 3}', PARENT: b"null"}, tenant="t", workflow_id="w")
    assert parents["extract"] == parents[named] == {"rows": 3}
    assert parents[PARENT] is None
    assert set(parents) == {named, PARENT}
    assert "extract" in parents
    assert "load" not in parents
    with pytest.raises(KeyError):
        parents["load"]


def test_results_that_cannot_be_had_say_why_when_they_are_asked_for() -> None:
    parents = ParentResults({}, "they are gone")
    for ask in (lambda: parents["a"], lambda: len(parents), lambda: list(parents), lambda: "a" in parents):
        with pytest.raises(ParentResultsUnavailable, match="they are gone"):
            ask()


def test_a_context_keeps_results_that_cannot_be_had_apart_from_none() -> None:
    def ask(ctx: Context, payload: Any) -> int:
        return len(ctx.parents)

    assert run_task(ask).result == 0
    assert run_task(ask, parents={"a": 1, PARENT: 2}).result == 2


def test_every_attempt_adds_the_same_jobs() -> None:
    def split(ctx: Context, payload: Any) -> list[str]:
        first = ctx.spawn("part", {"number": 1})
        second = ctx.spawn("part", {"number": 2}, name="second", depends_on=[first], group="parts")
        ctx.spawn("merge", depends_on={"group": "parts", "count": 1}, name="merge")
        return [first, second]

    runs = [run_task(split, job_id=PARENT, workflow_id="w", attempt=attempt) for attempt in (1, 2)]
    assert runs[0].spawned == runs[1].spawned
    first, second, merge = runs[0].spawned
    assert first == {
        "type": "part",
        "payload": {"number": 1},
        "job_id": job_id_of_spawned(PARENT, "0"),
        "tenant": "default",
        "workflow_id": "w",
    }
    assert second["job_id"] == job_id_of_spawned(PARENT, "second")
    assert (second["depends_on"], second["group"]) == ([first["job_id"]], "parts")
    assert merge["depends_on"] == {"group": "parts", "count": 1}
    assert runs[0].result == [first["job_id"], second["job_id"]]


def test_an_attempt_that_fails_adds_nothing() -> None:
    def split(ctx: Context, payload: Any) -> None:
        ctx.spawn("part")
        raise RuntimeError("no")

    assert run_task(split).spawned == []


@pytest.mark.parametrize(
    ("spawn", "message"),
    [
        (lambda ctx: [ctx.spawn("a", name="x"), ctx.spawn("b", name="x")], "two jobs are added as 'x'"),
        (lambda ctx: ctx.spawn("a", object()), "is not JSON"),
        (lambda ctx: ctx.spawn("a", job_id=PARENT), "ctx.spawn has no option 'job_id'"),
        (lambda ctx: ctx.spawn("a", run_at=datetime(2030, 1, 1)), "`run_at` has no zone"),  # noqa: DTZ001
        (
            lambda ctx: [ctx.spawn("a", "x" * 1_000_000, name=str(i)) for i in range(20)],
            "put the data elsewhere",
        ),
    ],
)
def test_what_cannot_be_added_fails_the_attempt_for_good(spawn: Any, message: str) -> None:
    run = run_task(lambda ctx, payload: spawn(ctx) and None)
    assert run.error_class == "permanent"
    assert message in run.message


def test_one_attempt_adds_a_bounded_number_of_jobs() -> None:
    spawned = Spawned(PARENT, "t", None)
    for _ in range(10_000):
        spawned.add("a", {}, None, {})
    with pytest.raises(PermanentError, match="more than 10000 jobs"):
        spawned.add("a", {}, None, {})
    assert b"workflow_id" not in spawned.records[0]


def test_times_are_written_with_their_zone() -> None:
    spawned = Spawned(PARENT, "t", "w")
    spawned.add("a", {}, None, {"run_at": datetime(2030, 1, 1, tzinfo=UTC)})
    assert b'"run_at":"2030-01-01T00:00:00Z"' in spawned.records[0]
