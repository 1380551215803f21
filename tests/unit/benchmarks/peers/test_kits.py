"""What a peer needs, and that what is missing is said with its remedy."""

import json
from pathlib import Path

import pytest

from benchmarks.peers import kits
from benchmarks.peers.catalog import BY_NAME, HERE, PEERS, Kit, environment
from benchmarks.peers.options import Options
from benchmarks.peers.report import tables
from benchmarks.peers.results import Skipped, write_json
from benchmarks.peers.run import NAMES, compare
from benchmarks.tasks import NOOP


def none(_program: str) -> str | None:
    return None


def everything(program: str) -> str | None:
    return f"/usr/bin/{program}"


def without(missing: str) -> kits.Which:
    return lambda program: None if program == missing else everything(program)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_machine_with_every_tool_lacks_none(name: str) -> None:
    assert kits.missing(BY_NAME[name], everything) is None


@pytest.mark.parametrize(
    ("name", "program"),
    [("river", "go"), ("graphile-worker", "node"), ("graphile-worker", "npm")],
)
def test_a_missing_program_is_named_with_its_remedy(name: str, program: str) -> None:
    skipped = kits.missing(BY_NAME[name], without(program))
    assert skipped is not None
    assert skipped.peer == name
    assert program in skipped.reason
    assert "install" in skipped.remedy


def test_peers_on_redis_take_valkey_as_well_and_others_need_neither() -> None:
    assert kits.missing(BY_NAME["saq"], without("redis-server")) is None
    lacking = {peer.name for peer in PEERS if kits.missing(peer, none) and peer.kit is Kit.PYTHON}
    assert lacking == {"taskiq-kafka", "saq", "dramatiq", "celery"}
    skipped = kits.missing(BY_NAME["saq"], none)
    assert skipped is not None
    assert "apt install redis-server" in skipped.remedy


async def test_what_is_skipped_is_said_and_stands_in_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kits, "missing", lambda peer: Skipped(peer.name, "go is not installed", "install Go"))
    said: list[str] = []
    comparison = await compare(Options(peers=("river",)), said.append)
    assert said == ["SKIPPED river: go is not installed; install Go"]
    assert comparison.skipped == (Skipped("river", "go is not installed", "install Go"),)
    assert b'"remedy": "install Go"' in write_json(comparison)
    assert any("SKIPPED: river: go is not installed; install Go" in str(one) for one in tables(comparison))


async def test_a_kit_that_cannot_be_installed_is_skipped_with_what_went_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_kit: Kit) -> None:
        raise kits.InstallError("go build failed: no space left")

    monkeypatch.setattr(kits, "missing", lambda _peer: None)
    monkeypatch.setattr(kits, "install", fail)
    comparison = await compare(Options(peers=("river",)), lambda _said: None)
    assert [one.reason for one in comparison.skipped] == ["go build failed: no space left"]
    assert comparison.runs == ()


def test_no_pinned_file_says_where_packages_come_from() -> None:
    assert "://" not in (HERE / "requirements.txt").read_text()
    packages = json.loads((HERE / "graphile" / "package-lock.json").read_bytes())["packages"]
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert all("integrity" in package for name, package in packages.items() if name)


def test_every_python_package_is_pinned_with_a_hash() -> None:
    lines = (HERE / "requirements.txt").read_text().splitlines()
    pinned = [line for line in lines if not line.startswith(" ")]
    assert pinned
    assert all("==" in line and line.endswith("\\") for line in pinned)


def test_penstocks_settings_reach_no_peer() -> None:
    found = environment({"PENSTOCK_SLOTS": "9", "PYTHONPATH": "/else", "HOME": "/root"}, BY_NAME["celery"])
    assert "PENSTOCK_SLOTS" not in found
    assert Path(found["PYTHONPATH"]) == HERE.parents[1]
    assert found["HOME"] == "/root"


def test_penstock_is_the_first_of_all_peers() -> None:
    assert NAMES[0] == "penstock"
    assert set(NAMES[1:]) == set(BY_NAME)


def test_penstocks_task_is_of_the_type_whose_rows_are_counted() -> None:
    # Importing it beside benchmarks.tasks would declare the type twice.
    assert f'@task("{NOOP}")' in (HERE / "apps" / "penstock_app.py").read_text()
