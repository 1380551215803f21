"""The process that trains, as it is started: what it answers, its limits, and what its parent never loads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.learned.child import ChildMaker, Limits
from core.learning.enough import Enough
from ports.training import Kind, MakingFailedError, Order, UnavailableError, When

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests" / "data" / "google2011_sample.csv"
LIMITS = Limits(2_048 << 20, 120.0, 5)
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


def an_order(trace: str = "") -> Order:
    return Order(
        now_ms=1_800_000_000_000,
        by="trainer",
        when=When.NOW,
        code_version="1",
        kind=Kind.BOOSTED,
        rows_max=1000,
        enough=Enough(1, 1, 1),
        trace=trace,
    )


def a_maker(limits: Limits = LIMITS) -> ChildMaker:
    return ChildMaker(limits, {**os.environ, "PYTHONPATH": str(ROOT), "PENSTOCK_DATABASE_URL": NOWHERE})


async def test_a_recording_becomes_a_model_in_a_process_of_its_own() -> None:
    found, model = await a_maker().make(an_order(str(SAMPLE)), b"")
    assert found.model is not None
    assert found.model.size_bytes == len(model)
    assert found.model.judged.startswith("no verdict: 40 ends")


async def test_a_database_that_is_away_is_said_to_be() -> None:
    with pytest.raises(UnavailableError, match="cannot be read now"):
        await a_maker().make(an_order(), b"")


async def test_a_file_that_is_no_recording_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_text("nothing\n")
    with pytest.raises(MakingFailedError, match="neither a Google 2011 header"):
        await a_maker().make(an_order(str(path)), b"")


async def test_too_little_memory_is_a_message_and_no_crash_of_the_parent() -> None:
    with pytest.raises(MakingFailedError, match="PENSTOCK_TRAINER_MEMORY_MB"):
        await a_maker(LIMITS._replace(memory_bytes=200 << 20)).make(an_order(str(SAMPLE)), b"")


def test_the_service_itself_loads_no_arrays_and_no_trees() -> None:
    code = (
        "import sys, services.trainer.wiring, services.trainer.settings\n"
        "print([name for name in ('numpy', 'xgboost', 'pandas', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run(
        (sys.executable, "-c", code), check=True, capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.stdout.strip() == "[]"
