"""A seeded part of the fault scenarios, on one broker and one shared stack, in every test run.

``make chaos`` runs all of them; a failure names its seed, and ``make chaos-NAME SEED=N`` repeats it. Waits
may take three times what they may on a quiet machine, or what ``CHAOS_PATIENCE`` says.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.report import said_of, write_report
from tests.chaos.rig.patience import ENVIRONMENT_NAME, PATIENCE, factor_of
from tests.chaos.run import Result, Runner
from tests.chaos.scenario import Scenario
from tests.chaos.scenarios.catalog import ALL, in_running_order
from tests.chaos.spec import StackSpec

SUBSET = in_running_order(tuple(scenario for scenario in ALL if scenario.subset))
SEED = int(os.environ.get("CHAOS_SEED") or secrets.randbelow(1_000_000))
PATIENCE.factor = factor_of(os.environ.get(ENVIRONMENT_NAME) or "3")
TIMEOUT_S = PATIENCE.limit_s(300)


@pytest.fixture(scope="module")
def results() -> Iterator[tuple[Runner, list[Result]]]:
    """One runner for all, and what came of them so far.

    Not below pytest's own directory: every other pytest that starts takes it from the account that
    Postgres runs under.
    """
    directory = Path(tempfile.mkdtemp(prefix="penstock-chaos-"))
    runner, done = Runner(directory, print), list[Result]()
    try:
        yield runner, done
    finally:
        runner.close()
        write_report(Path("build") / "chaos-subset.json", done, SEED)
        if all(result.holds or result.skipped for result in done):
            shutil.rmtree(directory)


@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize("scenario", SUBSET, ids=[scenario.name for scenario in SUBSET])
def test_everything_holds_when(scenario: Scenario, results: tuple[Runner, list[Result]]) -> None:
    runner, done = results
    result = runner.run(scenario, SEED)
    done.append(result)
    if result.skipped:
        pytest.skip(result.skipped)
    said = "\n".join(said_of(violation) for violation in result.findings.violations[:5])
    assert result.holds, f"--seed {SEED}: {dict(result.findings.counts)}\n{said}\nkept in {result.kept}"
    assert result.findings.jobs > 0


def test_the_subset_has_at_least_ten_faults_on_one_stack() -> None:
    assert len(SUBSET) >= 10
    assert {scenario.stack for scenario in SUBSET} == {StackSpec()}
    assert not any(scenario.needs for scenario in SUBSET)
