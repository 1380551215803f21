"""The lab from end to end: what is learned must not be worse than the best backoff anywhere."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters.learned.retry_lab import learner
from core.retrying.lab import compared
from core.retrying.scenarios import SCENARIOS
from core.retrying.simulation import LAB_COSTS
from penstock.cli.main import build

JOBS, SEED = 400, 1


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_is_learned_costs_no_more_than_the_best_tuned_backoff(name: str) -> None:
    assert compared(name, SEED, JOBS, learner(LAB_COSTS, rounds=40)).learned_of_tuned <= 1.05


def test_the_command_compares_and_reports(tmp_path: Path) -> None:
    report = tmp_path / "lab.html"
    words = ["lab", "retry", "--scenario", "scripted", "--jobs", "150", "--json", "--report", str(report)]
    result = CliRunner().invoke(build("lab"), words)
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)["scenarios"]
    assert found["scenario"] == "scripted"
    assert found["policies"]["oracle"]["cost"] <= found["policies"]["learned"]["cost"]
    assert "<svg" in report.read_text()


def test_a_scenario_that_is_not_there_is_named_with_those_that_are() -> None:
    result = CliRunner().invoke(build("lab"), ["lab", "retry", "--scenario", "flood"])
    assert result.exit_code == 2
    assert "flood" in result.output
    assert "nightly" in result.output
