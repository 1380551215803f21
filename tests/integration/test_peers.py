"""Two peers really run, when ``make bench-peers`` has installed them before: nothing is downloaded here."""

from pathlib import Path

import pytest

from benchmarks.peers import kits
from benchmarks.peers.catalog import Kit
from benchmarks.peers.figures import Workload
from benchmarks.peers.options import Options
from benchmarks.peers.run import compare

PEERS = ("saq", "dramatiq")


@pytest.fixture(autouse=True)
def _installed() -> None:
    if not kits.is_installed(Kit.PYTHON):
        pytest.skip("the Python peers are not installed: `make bench-peers ARGS=--quick` installs them")
    if kits.redis() is None:
        pytest.skip("no Redis server is installed; on Debian: apt install redis-server")


async def test_two_peers_run_every_job_once_and_are_measured(tmp_path: Path) -> None:
    asked = Options(PEERS, jobs=40, warm_up=5, per_s=20, seconds=1.0, repeats=1, json_file=tmp_path / "x")
    comparison = await compare(asked, print)
    assert [run.invalid for run in comparison.runs] == [""] * 4
    assert {(one.peer, one.workload) for one in comparison.summaries} == {
        (peer, workload) for peer in PEERS for workload in Workload
    }
    for one in comparison.summaries:
        assert all(figure.median > 0 for figure in one.figures.values())
