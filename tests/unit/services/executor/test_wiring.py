"""What an executor connects: work beside its steps, and how closely it follows the ledger."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from services.executor.held import Stage
from services.executor.wiring import GATHER_S, Executor


async def test_a_hand_back_that_cannot_be_appended_ends_the_process() -> None:
    """Else the executor would list the claim in every heartbeat, and nobody could ever run the job."""
    executor: Any = Executor.__new__(Executor)
    executor._tasks = set()
    executor._closer = SimpleNamespace(failed=asyncio.Event())

    async def hand_back() -> None:
        raise RuntimeError("the log takes nothing more")

    executor._spawn(hand_back())

    async with asyncio.timeout(5):
        await executor._closer.failed.wait()
    assert not executor._tasks


@pytest.mark.parametrize(
    ("claiming", "own", "stolen", "expected_s"),
    [
        (0, [], None, GATHER_S),
        (0, [], [], GATHER_S),
        (1, [], [], 0.0),
        (0, ["queued"], None, 0.0),
        (0, [], ["queued"], 0.0),
    ],
)
async def test_the_ledger_is_followed_closely_while_anything_waits_for_what_it_says(
    claiming: int, own: list[str], stolen: list[str] | None, expected_s: float
) -> None:
    executor, asked = _following(claiming, own, stolen)

    executor._take([])

    assert asked == [expected_s]


async def test_a_claim_to_be_read_back_ends_the_wait_for_more() -> None:
    """Its claim is to be read, and what came before it in the same answer."""
    executor, asked = _following(0, [], [])
    executor._gather()
    executor._held = SimpleNamespace(count=lambda stage: int(stage is Stage.CLAIMING))
    assert asked == [GATHER_S]
    executor._gather()
    assert asked == [GATHER_S, 0.0]


def _following(claiming: int, own: list[str], stolen: list[str] | None) -> tuple[Any, list[float]]:
    """Give an executor of which only that is there, and what it asks of the reader of its ledger."""
    executor: Any = Executor.__new__(Executor)
    asked: list[float] = []
    executor._follower = SimpleNamespace(gather=asked.append)
    executor._held = SimpleNamespace(count=lambda stage: claiming if stage is Stage.CLAIMING else 1)
    executor._fetcher, executor._foreign = own, stolen
    executor._leased = SimpleNamespace(boot_id="e-1")
    executor._claimer = SimpleNamespace(wake=asyncio.Event(), cancelled=lambda _: None)
    executor._starter = SimpleNamespace(read_back=lambda _: None, start_ready=list)
    return executor, asked
