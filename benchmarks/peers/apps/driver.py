"""Submits to a peer and watches the jobs end, on request: one JSON line in, one out.

The first line out is ``{"versions": ...}``, once connected. Then, until the input ends::

    {"do": "backlog", "first": 0, "jobs": 500}
        -> {"submitted_s": 0.1, "elapsed_s": 0.9}
    {"do": "rate", "first": 500, "jobs": 100, "per_s": 50}
        -> {"began_ns": ..., "shown_ns": [...]}

A backlog is submitted at once and is over when the last job is seen as ended. At a rate, job ``i`` is
due ``i / per_s`` seconds after ``began_ns``, whatever became of the others; ``shown_ns`` says when each was
seen as ended, by asking every ``POLL_S``. The drivers in other languages speak the same. Anything that goes
wrong ends the process.
"""

import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Protocol

POLL_S = 0.005
CHUNK = 1000
"""Jobs asked about at once."""
STALL_S = 60.0
"""No further end for this long means that something is broken."""


class Submitter(Protocol):
    """One peer, seen by whoever submits."""

    @property
    def packages(self) -> Sequence[str]:
        """Whose versions are told."""

    async def open(self) -> None:
        """Connect; make tables or topics where the peer wants that done."""

    async def submit_many(self, numbers: Sequence[int]) -> list[str]:
        """Submit at once, as the peer recommends for many; give what ``ended`` knows each by, in order."""

    async def submit(self, number: int) -> str:
        """Submit one."""

    async def ended(self, ids: Sequence[str]) -> set[str]:
        """Give those whose final state stands where the peer keeps it."""


def serve(submitter: Submitter) -> None:
    """Do what is asked until the input ends."""
    asyncio.run(_serve(submitter))


async def _serve(submitter: Submitter) -> None:
    await submitter.open()
    _say({"versions": {name: version(name) for name in submitter.packages}})
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        answer = await (_backlog if asked["do"] == "backlog" else _rate)(submitter, asked)
        _say(answer)


def _say(answer: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


async def _backlog(submitter: Submitter, asked: Mapping[str, Any]) -> dict[str, float]:
    numbers = range(asked["first"], asked["first"] + asked["jobs"])
    began_s = time.perf_counter()
    ids = await submitter.submit_many(numbers)
    submitted_s = time.perf_counter() - began_s
    await _until_ended(submitter, ids)
    return {"submitted_s": submitted_s, "elapsed_s": time.perf_counter() - began_s}


async def _until_ended(submitter: Submitter, ids: Sequence[str]) -> None:
    """Ask about the oldest, since jobs end about in order, and more often as the end comes near."""
    pending, moved_s = list(ids), time.monotonic()
    while pending:
        asked = pending[:CHUNK]
        ended = await submitter.ended(asked)
        pending = [one for one in asked if one not in ended] + pending[CHUNK:]
        if ended:
            moved_s = time.monotonic()
        elif time.monotonic() - moved_s > STALL_S:
            raise TimeoutError(f"{len(pending)} of {len(ids)} jobs have not ended, and nothing moves")
        if len(ended) < len(asked):
            await asyncio.sleep(0.02 + 0.5 * len(pending) / len(ids))


async def _rate(submitter: Submitter, asked: Mapping[str, Any]) -> dict[str, Any]:
    first, jobs, per_s = asked["first"], asked["jobs"], asked["per_s"]
    pending: dict[str, int] = {}
    shown_ns = [0] * jobs
    began_ns = time.time_ns()

    async def submit(place: int) -> None:
        pending[await submitter.submit(first + place)] = place

    async def submit_all() -> None:
        async with asyncio.TaskGroup() as tasks:
            for place in range(jobs):
                due_s = began_ns / 1e9 + place / per_s
                await asyncio.sleep(max(0.0, due_s - time.time()))
                tasks.create_task(submit(place))

    submitting = asyncio.create_task(submit_all())
    await _watch(submitter, pending, shown_ns, submitting)
    await submitting
    return {"began_ns": began_ns, "shown_ns": shown_ns}


async def _watch(
    submitter: Submitter, pending: dict[str, int], shown_ns: list[int], submitting: asyncio.Task[None]
) -> None:
    moved_s = time.monotonic()
    while pending or not submitting.done():
        ended = await submitter.ended(list(pending)) if pending else set()
        for one in ended:
            shown_ns[pending.pop(one)] = time.time_ns()
        if ended or not pending:
            moved_s = time.monotonic()
        elif time.monotonic() - moved_s > STALL_S:
            raise TimeoutError(f"{len(pending)} jobs have not ended, and nothing moves")
        await asyncio.sleep(POLL_S)
