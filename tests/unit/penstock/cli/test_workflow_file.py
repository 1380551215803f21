"""Workflows in files."""

from pathlib import Path

import pytest
import typer

from penstock.cli.workflow_file import jobs_of, read_workflow
from penstock.client import Job
from penstock.identity import job_id_of_step

NIGHTLY = """
workflow: nightly
tenant: acme
defaults:
  priority: 7
jobs:
  extract:
    type: etl.extract
    payload: {day: 2030-01-31, ratio: 0.5}
  part-1: {type: etl.part, after: extract, group: parts}
  part-2: {type: etl.part, after: [extract], group: parts}
  merge:
    type: etl.merge
    after_group: parts
    on_failure: run
    priority: 9
  report:
    after: [merge]
"""


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "flow.yaml"
    file.write_text(text)
    return file


def by_name(jobs: list[Job]) -> dict[str, Job]:
    return {(job.get("labels") or {})["step"]: job for job in jobs}


def test_a_file_names_jobs_and_what_they_depend_on(tmp_path: Path) -> None:
    jobs = by_name(jobs_of(read_workflow(written(tmp_path, NIGHTLY), None, None)))
    extract = job_id_of_step("acme", "nightly", "extract")
    assert jobs["extract"]["payload"] == {"day": "2030-01-31", "ratio": 0.5}
    assert jobs["part-2"]["depends_on"] == [extract]
    assert jobs["merge"]["depends_on"] == {"group": "parts", "count": 2}
    assert jobs["merge"]["on_parent_failure"] == "run"
    assert (jobs["extract"]["priority"], jobs["merge"]["priority"]) == (7, 9)
    assert jobs["report"]["type"] == "report"
    assert jobs["report"]["tenant"] == "acme"


def test_json_is_read_too_and_the_command_line_goes_first(tmp_path: Path) -> None:
    file = written(tmp_path, '{"workflow": "w", "jobs": {"a": null, "b": {"after": ["a"]}}}')
    workflow = read_workflow(file, "run-7", "t")
    assert [job["job_id"] for job in jobs_of(workflow)] == [
        job_id_of_step("t", "run-7", "a"),
        job_id_of_step("t", "run-7", "b"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is neither YAML nor JSON"),
        ("[]", "is no mapping"),
        ("jobs: {a: {}}", "has no `workflow`"),
        ("workflow: w", "`jobs` is no mapping"),
        ("workflow: w\njobs: {}", "`jobs` is empty"),
        ("workflow: w\njobz: {}\njobs: {a: {}}", "has no field `jobz`"),
        ("workflow: w\njobs: {a: {}, a: {}}", "the key 'a' is there twice"),
        ("workflow: w\njobs: {a: 5}", "job `a` is no mapping"),
        ("workflow: w\njobs: {a: {after: b}}", "`a` depends on `b`, which the workflow does not have"),
        ("workflow: w\njobs: {a: {after: b}, b: {after: a}}", "in a circle: a -> b -> a"),
        ("workflow: w\njobs: {a: {job_id: x}}", "`job_id` of `a` is set by the workflow"),
        ("workflow: w\njobs: {a: {priority: 11}}", "job `a`: field `priority`"),
        ("workflow: w\njobs: {a: {after: b, on_failure: stop}, b: {}}", "field `on_parent_failure`"),
        ("workflow: w\njobs: {a: {colour: red}}", "there is no field `colour`"),
    ],
)
def test_what_is_wrong_is_named_with_the_remedy(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(typer.BadParameter) as caught:
        jobs_of(read_workflow(written(tmp_path, text), None, None))
    assert message in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="cannot read"):
        read_workflow(tmp_path / "none.yaml", None, None)
