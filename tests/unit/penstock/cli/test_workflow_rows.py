"""Jobs of a workflow in layers."""

from typing import Any

from penstock.cli.workflow_rows import layers_of


def job(job_id: str, depends_on: Any = (), group: str | None = None) -> dict[str, Any]:
    parents = depends_on if isinstance(depends_on, dict) else list(depends_on)
    return {"job_id": job_id, "depends_on": parents, "job_group": group}


def names(jobs: list[dict[str, Any]]) -> list[list[str]]:
    return [[one["job_id"] for one in layer] for layer in layers_of(jobs)]


def test_a_job_stands_below_the_lowest_of_those_it_depends_on() -> None:
    jobs = [job("d", ["b", "a"]), job("b", ["a"]), job("a"), job("c", ["a"])]
    assert names(jobs) == [["a"], ["b", "c"], ["d"]]


def test_who_depends_on_a_group_stands_below_its_members() -> None:
    jobs = [job("merge", {"group": "g"}), job("a"), job("p", ["a"], "g"), job("q", [], "g")]
    assert names(jobs) == [["a", "q"], ["p"], ["merge"]]


def test_parents_that_are_not_known_yet_do_not_count() -> None:
    assert names([job("a", ["unknown"]), job("b", ["a"])]) == [["a"], ["b"]]


def test_jobs_in_a_circle_come_last() -> None:
    assert names([job("a", ["b"]), job("b", ["a"]), job("c", ["b"]), job("d")]) == [["d"], ["a", "b", "c"]]


def test_ten_thousand_in_a_chain_are_sorted_without_recursion() -> None:
    jobs = [job(str(number), [str(number - 1)] if number else []) for number in range(10_000)]
    assert len(layers_of(jobs)) == 10_000
