"""A service whose wall clock is wrong, on real servers: noticed, named, and named right again."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from penstock.cli.main import build
from tests.chaos.rig.clock import WrongClock, build_library
from tests.chaos.rig.tools import Tool, why_missing
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import wait_until
from tests.support.servers import Servers

pytestmark = pytest.mark.skipif(
    why_missing(Tool.WRONG_CLOCK) is not None, reason=str(why_missing(Tool.WRONG_CLOCK))
)
WAIT_S = 60.0


@pytest.fixture
def mine(servers: Servers, topic_prefix: str, tmp_path: Path) -> Iterator[Pipeline]:
    with pipeline(servers, topic_prefix, tmp_path) as prepared:
        yield prepared


@pytest.fixture
def services(mine: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, Any]]:
    monkeypatch.chdir(mine.directory)

    def listed() -> dict[str, Any]:
        result = CliRunner().invoke(build("services"), ["services", "--json"], env=mine.environment("cli"))
        assert result.exit_code == 0, (result.output, result.exception)
        return {row["service"]: row for row in json.loads(result.stdout)}

    return listed


def doctor(mine: Pipeline) -> dict[str, Any]:
    """What the doctor finds; of this machine it may find anything."""
    result = CliRunner().invoke(build("doctor"), ["doctor", "--json"], env=mine.environment("cli"))
    return {check["name"]: check for check in json.loads(result.stdout)["checks"]}


def test_a_wrong_wall_clock_is_named_while_it_is_wrong_and_right_again_afterwards(
    mine: Pipeline, services: Callable[[], dict[str, Any]]
) -> None:
    build_library()
    clock = WrongClock(mine.directory / "clock")
    clock.set(7200.0)
    often = {"PENSTOCK_CLOCK_CHECK_S": "0.2"}
    with mine.start("ingest", **often, **clock.environment) as wrong, mine.start("prioritizer", **often):
        wait_until(lambda: services().keys() == {"ingest", "prioritizer"}, "both are announced", WAIT_S)
        wait_until(lambda: services()["ingest"]["clock"] == "wrong", "it is named at its start", WAIT_S)
        assert abs(services()["ingest"]["skew_s"] - 7200) < 30
        assert services()["prioritizer"]["clock"] == "right"
        wait_until(lambda: "s off the broker's" in wrong.output, "the log names it", WAIT_S)
        found = doctor(mine)["clocks"]
        assert found["outcome"] == "warning"
        assert f"{mine.routes.prefix}ingest is 7200" in found["detail"]
        clock.set(-90.0)
        wait_until(lambda: services()["ingest"]["skew_s"] < -60, "it moved while it ran", WAIT_S)
        clock.set(0.0)
        wait_until(lambda: services()["ingest"]["clock"] == "right", "it is right again", WAIT_S)
        assert "is right again" in wrong.output
