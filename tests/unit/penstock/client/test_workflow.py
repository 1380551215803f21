"""Building workflows."""

import pytest

from penstock.client import InvalidJob, Workflow
from penstock.identity import job_id_of_step


def test_jobs_come_parents_first_with_ids_made_from_their_names() -> None:
    flow = Workflow("nightly")
    flow.add("report").after("load")
    load = flow.add("load", {"day": 1}, priority=7).after("extract", on_failure="run")
    flow.add("extract", labels={"team": "a"})
    extract_job, load_job, report_job = flow.jobs()
    assert extract_job == {
        "type": "extract",
        "payload": {},
        "labels": {"team": "a", "step": "extract"},
        "job_id": job_id_of_step("default", "nightly", "extract"),
        "workflow_id": "nightly",
    }
    assert load_job["depends_on"] == [extract_job["job_id"]]
    assert (load_job["priority"], load_job["on_parent_failure"]) == (7, "run")
    assert load_job["job_id"] == load.job_id
    assert report_job["depends_on"] == [load.job_id]
    assert "on_parent_failure" not in report_job


def test_the_same_workflow_of_another_tenant_has_other_ids() -> None:
    flow = Workflow("nightly", tenant="acme")
    flow.add("load")
    (job,) = flow.jobs()
    assert job["tenant"] == "acme"
    assert job["job_id"] == job_id_of_step("acme", "nightly", "load")


def test_whoever_depends_on_a_group_says_how_many_jobs_it_has() -> None:
    flow = Workflow("w")
    flow.add("merge").after_group("parts")
    for number in range(3):
        flow.add("part", {"number": number}, name=f"part-{number}", group="parts")
    jobs = flow.jobs()
    assert [job["type"] for job in jobs] == ["part", "part", "part", "merge"]
    assert jobs[-1]["depends_on"] == {"group": "parts", "count": 3}
    assert jobs[0]["group"] == "parts"


def test_a_group_without_jobs_holds_nobody_up() -> None:
    flow = Workflow("w")
    flow.add("merge").after_group("parts")
    (job,) = flow.jobs()
    assert job["depends_on"] == {"group": "parts", "count": 0}


def test_a_circle_is_named() -> None:
    flow = Workflow("w")
    flow.add("a").after("b")
    flow.add("b").after("c")
    flow.add("c").after("a")
    flow.add("d").after("a")
    with pytest.raises(InvalidJob, match="in a circle: a -> b -> c -> a"):
        flow.jobs()


def test_a_circle_through_a_group_is_named() -> None:
    flow = Workflow("w")
    flow.add("merge").after_group("parts")
    flow.add("part", group="parts").after("merge")
    with pytest.raises(InvalidJob, match="group parts -> part -> merge -> group parts"):
        flow.jobs()


def test_unknown_names_second_names_and_fields_of_the_builder_are_refused() -> None:
    flow = Workflow("w")
    flow.add("a").after("b")
    with pytest.raises(InvalidJob, match="`a` depends on `b`, which the workflow does not have"):
        flow.jobs()
    with pytest.raises(InvalidJob, match="has a job `a` already"):
        flow.add("a")
    with pytest.raises(InvalidJob, match="`job_id` of `c` is set by the workflow"):
        flow.add("c", job_id="00000000-0000-0000-0000-000000000001")
    with pytest.raises(InvalidJob, match="depends on b already: use one of the two"):
        flow["a"].after_group("g")
    merge = flow.add("merge").after_group("g")
    with pytest.raises(InvalidJob, match="depends on the group `g` already"):
        merge.after("a")


def test_more_parents_than_a_list_may_name_are_refused_with_the_remedy() -> None:
    flow = Workflow("w")
    parents = [flow.add("part", name=f"part-{number}") for number in range(1001)]
    flow.add("merge").after(*parents)
    with pytest.raises(InvalidJob, match="depends on 1001 jobs, 1000 are allowed: put them into a group"):
        flow.jobs()


def test_a_chain_of_ten_thousand_is_sorted_without_recursion() -> None:
    flow = Workflow("w")
    for number in range(10_000):
        step = flow.add("link", name=str(number))
        if number:
            step.after(str(number - 1))
    assert [job["labels"] for job in flow.jobs()] == [{"step": str(number)} for number in range(10_000)]
