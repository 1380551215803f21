"""The command line of the benchmarks, and what the measured pipeline is started with."""

from pathlib import Path

import pytest

from benchmarks.options import QUICK, Options, Part, Shape, parse
from benchmarks.pipeline import environment_of
from benchmarks.up import plan_for


def test_without_arguments_everything_is_measured_in_full() -> None:
    assert parse([]) == Options()
    assert parse([]).parts == {Part.STAGES, Part.LATENCY, Part.THROUGHPUT, Part.HANDLERS}


def test_what_is_given_goes_before_the_quick_defaults() -> None:
    found = parse(["--quick", "--only", "throughput", "--jobs", "70", "--json", "x.json"])
    assert found.parts == {Part.THROUGHPUT}
    assert (found.jobs, found.rounds, found.json_file) == (70, QUICK.rounds, Path("x.json"))


def test_the_wheel_takes_its_own_numbers() -> None:
    found = parse(["--only", "wheel", "--waiting", "700", "--due", "70"])
    assert found.parts == {Part.WHEEL}
    assert (found.waiting, found.due) == (700, 70)


def test_shapes_are_partitions_by_instances() -> None:
    assert parse(["--only", "costs", "--shapes", "4x1,16x2"]).shapes == (Shape(4, 1), Shape(16, 2))


def test_several_rates_can_be_given() -> None:
    assert parse(["--rates", "50,500"]).rates == (50.0, 500.0)


@pytest.mark.parametrize(
    "wrong",
    [
        ["--only", "nothing"],
        ["--jobs", "0"],
        ["--rates", "5,0"],
        ["--rates", "x"],
        ["--load", "1"],
        ["--shapes", "4x1,4x1"],
        ["--shapes", "4"],
    ],
)
def test_what_cannot_be_measured_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse(wrong)
    assert exit_.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_settings_of_another_pipeline_do_not_reach_the_measured_one() -> None:
    caller = {"PATH": "/bin", "PENSTOCK_KAFKA_BOOTSTRAP": "kafka:9092", "PENSTOCK_SLOTS": "8"}
    assert environment_of(caller) == {
        "PATH": "/bin",
        "PENSTOCK_SLOTS": "8",
        "PENSTOCK_APP": "benchmarks.tasks",
    }


def test_only_the_profiled_service_runs_under_the_profiler(tmp_path: Path) -> None:
    plan = plan_for(tmp_path, {}, ("executor", "out.prof"))
    assert plan.command("executor")[-3:] == ("benchmarks.profiled", "executor", "out.prof")
    assert plan.command("ingest")[-1] == "services.ingest"
    assert plan_for(tmp_path, {}, None).command("executor")[-1] == "services.executor"
