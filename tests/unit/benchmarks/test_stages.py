"""Every stage that is timed really does its work on every job of the sample."""

import json

import pytest

from benchmarks.sample import ROUTES, Sample, make_sample
from benchmarks.stages import JOBS, all_stages, measure_stages
from core.rows_table import empty_table, gather
from schemas.codec import VERDICT_KINDS
from schemas.ledger import LedgerFolds


@pytest.fixture(scope="module")
def made() -> Sample:
    return make_sample(JOBS)


def test_the_sample_brings_every_job_to_its_end(made: Sample) -> None:
    table = empty_table()
    gather(table, LedgerFolds("bench001", with_notes=True).take(made.ledger))
    assert len(table.jobs) == JOBS
    assert {row["state"] for row in table.jobs.values()} == {"succeeded"}
    assert all(row["payload"] for row in table.jobs.values())


def test_the_sample_says_four_things_of_each_job_two_of_them_verdicts(made: Sample) -> None:
    assert len(made.ledger) == 4 * JOBS
    assert sum(record.header("kind") in VERDICT_KINDS for record in made.ledger) == 2 * JOBS


def test_sample_jobs_are_of_a_usual_size(made: Sample) -> None:
    sizes = {len(record.value or b"") for record in made.records}
    assert min(sizes) > 200
    assert max(sizes) < 500
    assert json.loads(made.records[0].value or b"")["type"] == "email.send"


def test_each_stage_can_be_run_again_and_again_with_the_same_result(made: Sample) -> None:
    for stage in all_stages(made):
        first, second = stage.work(), stage.work()
        if isinstance(first, list | bytes):
            assert first == second, stage.name
            assert first, stage.name


def test_stages_have_names_of_their_own(made: Sample) -> None:
    names = [stage.name for stage in all_stages(made)]
    assert len(set(names)) == len(names)


def test_every_stage_is_measured_beside_the_calibration() -> None:
    costs = measure_stages(repeats=1, least_s=0.0)
    assert len(costs) >= 15
    assert all(cost.us > 0 and cost.calibration_us > 0 for cost in costs)


def test_the_queue_topic_of_the_sample_is_one_of_the_pipeline() -> None:
    assert ROUTES.execution("default", 2) in ROUTES.executions("default")
