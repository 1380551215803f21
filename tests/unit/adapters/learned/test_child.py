"""The process that trains: what goes in and out, and how it ends."""

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.learned.child import (
    Came,
    ChildMaker,
    Limits,
    answer_bytes,
    framed,
    order_bytes,
    read_answer,
    read_order,
    unframed,
)
from core.learning.enough import Enough
from ports.training import Found, Kind, MakingFailedError, Order, UnavailableError, When
from tests.support.models_under_test import a_manifest, some_bytes

ROOT = Path(__file__).parents[4]
LIMITS = Limits(2_048 << 20, 60.0, 5)
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


def an_order(**more: object) -> Order:
    told: dict[str, object] = {
        "now_ms": 1_800_000_000_000,
        "by": "trainer",
        "when": When.NOW,
        "code_version": "1",
        "kind": Kind.BOOSTED,
        "rows_max": 1000,
        "enough": Enough(1, 1, 1),
    }
    return Order(**told | more)  # type: ignore[arg-type]


def a_maker(*command: str, limits: Limits = LIMITS) -> ChildMaker:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PENSTOCK_DATABASE_URL": NOWHERE}
    if command:
        return ChildMaker(limits, environment, command=command)
    return ChildMaker(limits, environment)


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_two_pieces_come_apart_as_they_were_and_a_part_is_refused(head: bytes, tail: bytes) -> None:
    data = framed(head, tail)
    assert unframed(data) == (head, tail)
    for short in range(len(data) - len(tail)):
        with pytest.raises(ValueError, match="announced"):
            unframed(data[:short])


def test_orders_and_answers_are_read_as_they_were_written() -> None:
    order, champion = an_order(newest=a_manifest(b"x"), trace="t"), some_bytes(1, 100)
    assert read_order(order_bytes(order, champion)) == (order, champion)
    found = Found(ends=5, model=a_manifest(champion), waits_for="")
    assert read_answer(answer_bytes(Came.FOUND, found, champion)) == (found, champion)
    with pytest.raises(UnavailableError, match="away"):
        read_answer(answer_bytes(Came.UNAVAILABLE, "away"))
    with pytest.raises(MakingFailedError, match="no memory"):
        read_answer(answer_bytes(Came.FAILED, "no memory"))
    for damaged in (b"", b"X", b"F123"):
        with pytest.raises(ValueError):
            read_answer(damaged)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "signal SIGSEGV"),
        ("import sys; sys.exit(3)", "exit code 3"),
        ("print('F')", "exit code 0"),
    ],
)
async def test_a_process_that_dies_is_no_model_and_says_how(code: str, said: str) -> None:
    with pytest.raises(MakingFailedError, match=said):
        await a_maker("-c", code).make(an_order(), b"")


async def test_a_process_that_takes_too_long_is_ended() -> None:
    maker = a_maker("-c", "import time; time.sleep(60)", limits=LIMITS._replace(time_s=0.3))
    with pytest.raises(MakingFailedError, match="PENSTOCK_TRAINER_LIMIT_S"):
        await maker.make(an_order(), b"")


async def test_a_stop_ends_the_process(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    making = asyncio.create_task(a_maker("-c", code).make(an_order(), b""))
    async with asyncio.timeout(20):
        while not (pid.exists() and pid.read_text()):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.01)
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


async def test_the_key_that_signs_models_is_kept_from_whoever_trains(tmp_path: Path) -> None:
    said = tmp_path / "environment"
    look = f"import os; open({str(said)!r}, 'w').write(repr(sorted(os.environ)))"
    maker = ChildMaker(
        LIMITS, {**os.environ, "PENSTOCK_MODEL_KEY": "a key nobody may know"}, command=("-c", look)
    )
    with pytest.raises(MakingFailedError):
        await maker.make(an_order(), b"")
    names = said.read_text()
    assert "PENSTOCK_MODEL_KEY" not in names
    assert "PATH" in names
