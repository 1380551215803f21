"""What became dearer is found by ratios to the calibration loop, whatever the machine."""

from pathlib import Path

import pytest

from benchmarks.compare import compared, figures_of, main
from benchmarks.results import (
    HandlerCost,
    LogCost,
    Machine,
    Quantiles,
    Results,
    StageCost,
    Throughput,
    write_json,
)

MACHINE = Machine(2, "a processor", "6.1", "3.11", "abc1234", 0.5)


def results(slower: float = 1.0, *, fold: float = 1.0, job_us: float = 600.0) -> Results:
    """``slower``: the machine; ``fold`` and ``job_us``: our code."""
    return Results(
        machine=MACHINE,
        stages=(
            StageCost("ingest", "job", 10.0 * slower, 0.1, 100.0 * slower),
            StageCost("fold", "job", 5.0 * slower * fold, 0.05 * fold, 100.0 * slower),
        ),
        handlers=(HandlerCost("noop", 100, Quantiles(0.1, 0.2, 0.2, 0.3), 13.0 * slower),),
        log=(LogCost("append", 3.0 * slower, 9.0 * slower, 0.03),),
        throughput=(Throughput(100, 3000.0 / slower, 9000.0, {"kafka": job_us * slower}),),
    )


def written(folder: Path, name: str, found: Results) -> str:
    file = folder / name
    file.write_bytes(write_json(found))
    return str(file)


def test_another_machine_is_no_regression(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = written(tmp_path, "a", results()), written(tmp_path, "b", results(slower=3.0))
    assert main([before, after]) == 0
    assert "MISSED" not in capsys.readouterr().out


@pytest.mark.parametrize("worse", [results(fold=1.6), results(slower=0.5, job_us=960.0)])
def test_what_costs_more_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], worse: Results) -> None:
    assert main([written(tmp_path, "a", results()), written(tmp_path, "b", worse)]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if "MISSED" in line]
    assert len(lines) == 1
    assert "1.60" in lines[0]


def test_whole_jobs_may_differ_by_more_than_pieces(tmp_path: Path) -> None:
    before = written(tmp_path, "a", results())
    assert main([before, written(tmp_path, "b", results(job_us=840.0))]) == 0
    assert main([before, written(tmp_path, "c", results(fold=1.4))]) == 1
    assert main([before, written(tmp_path, "d", results(job_us=1140.0)), "--most", "2"]) == 0


def test_what_is_not_measured_any_more_is_no_success() -> None:
    before = figures_of(results())
    rows, is_well = compared(before, {name: one for name, one in before.items() if name != "fold"}, 1.25)
    assert not is_well
    assert list(rows[1]) == ["fold", "0.0500", "-", "-", "MISSED"]


def test_without_the_calibration_loop_whole_jobs_are_not_compared() -> None:
    assert "a job, by submit_many" in figures_of(results())
    assert figures_of(Results(MACHINE, throughput=results().throughput)) == {}


@pytest.mark.parametrize("text", ["{", '{"machine": 1}'])
def test_another_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    file = tmp_path / "x.json"
    file.write_text(text)
    assert main([str(file), str(file)]) == 2
    assert "make bench" in capsys.readouterr().err


def test_a_file_without_figures_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = written(tmp_path, "a", Results(MACHINE))
    assert main([empty, empty]) == 2
    assert "nothing to compare" in capsys.readouterr().err
