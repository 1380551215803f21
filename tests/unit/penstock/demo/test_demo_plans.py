import itertools
import json
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from penstock.demo.generate import generate
from penstock.demo.malformed import MALFORMED
from penstock.demo.plan import (
    Ending,
    Plan,
    PlannedJob,
    PlannedMalformed,
    PlannedRepeat,
    RunIdentity,
    job_id_of,
    record_value,
)
from penstock.demo.replay_plan import (
    LONGEST_RUN_S,
    SLOT_USE,
    TARGET_S,
    choose_speed,
    contract_name,
    replay_plan,
    replayed_end,
)
from penstock.demo.tasks import Work
from penstock.demo.traces import RecordedEnd, TraceJob, read_trace
from penstock.identity import Origin
from schemas.job import SubmittedJob
from tests.support.make_trace_samples import GOOGLE_SAMPLE, SWF_SAMPLE

RUN = RunIdentity("run-1", "/somewhere/effects.jsonl")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLAN = generate(2000, 7)


def failing_attempts(job: PlannedJob) -> int:
    match job.work["outcome"]:
        case "ok":
            return 0
        case "permanent":
            return 1
        case _:
            fails = job.work["fail_attempts"]
            return fails if isinstance(fails, int) else job.max_attempts


def test_equal_seeds_give_equal_plans_and_other_seeds_others() -> None:
    assert generate(300, 1) == generate(300, 1)
    assert generate(300, 1) != generate(300, 2)


def test_the_mix_is_as_promised() -> None:
    jobs = PLAN.jobs
    kinds = Counter(type(item) for item in PLAN.submissions)
    attempts = sum(map(failing_attempts, jobs))
    assert len(jobs) == 2000
    assert len({job.type for job in jobs}) == 8
    assert {job.tenant for job in jobs} == {"acme", "globex"}
    assert 0.03 < attempts / (len(jobs) + attempts) < 0.07
    assert {job.work["outcome"] for job in jobs} == {"ok", "permanent", "transient", "overload", "overrun"}
    assert any(job.run_in_s for job in jobs)
    assert kinds[PlannedRepeat] >= 5
    assert kinds[PlannedMalformed] >= 5


def test_run_times_are_heavy_tailed_and_bounded() -> None:
    run_s = sorted(float(str(job.work["run_s"])) for job in PLAN.jobs)
    mean_s = sum(run_s) / len(run_s)
    assert mean_s > 2 * run_s[len(run_s) // 2]
    assert run_s[-1] <= 12


def test_submissions_come_in_order_of_arrival_within_forty_seconds() -> None:
    times = [item.at_s for item in PLAN.submissions]
    assert times == sorted(times)
    assert 35 < max(job.at_s for job in PLAN.jobs) <= 40


def test_arrivals_come_in_bursts() -> None:
    per_second = Counter(int(job.at_s) for job in PLAN.jobs)
    counts = [per_second[second] for second in range(40)]
    mean = sum(counts) / 40
    # A Poisson process without bursts has a variance equal to its mean.
    assert sum((count - mean) ** 2 for count in counts) / 40 > 4 * mean


def test_a_repeat_has_the_same_bytes_as_its_job_and_comes_later() -> None:
    repeats = [item for item in PLAN.submissions if isinstance(item, PlannedRepeat)]
    later = datetime(2026, 1, 2, tzinfo=UTC)
    for repeat in repeats:
        assert repeat.at_s > repeat.of.at_s
        assert record_value(repeat, RUN, later) == record_value(repeat.of, RUN, NOW)
        repeated_id = job_id_of(repeat, RUN, Origin("e", 0, 1), 1)
        assert repeated_id == job_id_of(repeat.of, RUN, Origin("e", 0, 0), 1)


def test_every_generated_job_fits_the_contract_and_its_task() -> None:
    for job in PLAN.jobs:
        body = json.loads(record_value(job, RUN, NOW) or b"")
        submitted = SubmittedJob.model_validate(body)
        assert submitted.type == job.type
        Work.model_validate(body["payload"])


def test_a_due_time_is_counted_from_the_submission() -> None:
    due = next(job for job in PLAN.jobs if job.run_in_s is not None)
    body = json.loads(record_value(due, RUN, NOW) or b"")
    in_s = (datetime.fromisoformat(body["run_at"]) - NOW).total_seconds()
    assert in_s == pytest.approx(due.run_in_s)


def test_malformed_records_are_sent_as_they_are() -> None:
    for value in MALFORMED:
        assert record_value(PlannedMalformed(0.0, value), RUN, NOW) == value


def test_few_jobs_have_no_extras() -> None:
    assert len(generate(5, 1).submissions) == 5


def trace_job(submit_s: float, run_s: float | None, end: RecordedEnd = RecordedEnd.FINISHED) -> TraceJob:
    return TraceJob(submit_s, run_s, end, "7", "google.type-1", 1)


@pytest.mark.parametrize("path", [GOOGLE_SAMPLE, SWF_SAMPLE], ids=["google", "swf"])
def test_every_recorded_job_fits_the_contract(path: Path) -> None:
    plan = replay_plan(list(read_trace(path)), speed=None, slots=64)
    assert len(plan.jobs) == 200
    for job in plan.jobs:
        SubmittedJob.model_validate_json(record_value(job, RUN, NOW) or b"")
        assert job.type in plan.types


def test_a_given_speed_scales_arrivals_and_run_times() -> None:
    plan = replay_plan([trace_job(100, 30), trace_job(160, 0)], speed=10, slots=1)
    assert [(job.at_s, job.work["run_s"]) for job in plan.jobs] == [(0.0, 3.0), (6.0, 0.0)]
    assert "speed 10 (given)" in plan.notes[0]


def test_run_times_beyond_the_longest_are_cut_and_it_is_said() -> None:
    plan = replay_plan([trace_job(0, 1e6), trace_job(0, None), trace_job(0, 1)], speed=1, slots=1)
    assert [job.work["run_s"] for job in plan.jobs] == [LONGEST_RUN_S, LONGEST_RUN_S, 1]
    assert plan.notes[1].startswith("2 run times")


def test_the_chosen_speed_makes_arrivals_and_work_fit() -> None:
    for path, slots in itertools.product((GOOGLE_SAMPLE, SWF_SAMPLE), (1, 64)):
        trace = list(read_trace(path))
        speed = choose_speed(trace, slots)
        plan = replay_plan(trace, speed=None, slots=slots)
        work_s = sum(float(str(job.work["run_s"])) for job in plan.jobs)
        assert plan.jobs[-1].at_s <= TARGET_S
        assert work_s <= TARGET_S * slots * SLOT_USE + 1
        assert f"{speed:g}" in plan.notes[0]


def test_a_trace_shorter_than_the_demo_is_not_slowed_down() -> None:
    assert choose_speed([trace_job(0, 1), trace_job(10, 1)], 64) == 1


@pytest.mark.parametrize(
    ("end", "outcome", "ending"),
    [
        (RecordedEnd.FINISHED, "ok", Ending.SUCCEEDED),
        (RecordedEnd.UNKNOWN, "ok", Ending.SUCCEEDED),
        (RecordedEnd.KILLED, "ok", Ending.SUCCEEDED),
        (RecordedEnd.FAILED, "permanent", Ending.DEAD),
        (RecordedEnd.EVICTED, "transient", Ending.SUCCEEDED),
    ],
)
def test_recorded_ends_become_what_is_documented(end: RecordedEnd, outcome: str, ending: Ending) -> None:
    replayed = replayed_end(end)
    assert (replayed.outcome, replayed.ending) == (outcome, ending)


@pytest.mark.parametrize(
    ("recorded", "name"),
    [
        ("google.type-7", "google.type-7"),
        ("user--5", "user-n5"),
        ("-5", "n5"),
        ("Big Job!!/x=", "big-job-x"),
        ("..a..", "a"),
        ("", "unnamed"),
        ("x" * 300, "x" * 100),
    ],
)
def test_names_are_made_to_fit_the_contract(recorded: str, name: str) -> None:
    assert contract_name(recorded) == name
    assert re.fullmatch(r"[a-z0-9]+([._-][a-z0-9]+)*", name)


def test_an_empty_plan_is_a_plan() -> None:
    assert replay_plan([], speed=None, slots=1) == Plan(
        [], notes=("0 recorded jobs at speed 1 (chosen): they arrive within 0 s.",)
    )
