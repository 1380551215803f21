"""Progress while executors come and go: ``python -m benchmarks.rebalance [--every S] [--seconds S]``.

Some executors work through a backlog of naps, so that slots and not the processor bound them. Then one more
starts every few seconds and, from the fourth on, the oldest of those is stopped. What the standing executors
did before is compared with what ended meanwhile.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import time

from adapters.kafka.reader import reading
from benchmarks.executors import Executors
from benchmarks.machine import data_directory
from benchmarks.pipeline import Pipeline, running
from benchmarks.tasks import SLEEP
from core.ledger.verdicts import Claimed, Succeeded
from core.log import TopicPartition
from penstock.client.client import Client
from schemas.codec import decode_if_verdict
from schemas.topics import RouteMap

NAP_S = 0.1
SLOTS = 8
STANDING = 2
"""Executors that stay, one of them the pipeline's own."""
PASSING_MAX = 3
SETTLE_S = 5.0
START_TIMEOUT_S = 120.0
BEFORE_S = 20.0


class Ended:
    """Counts what the ledger says has succeeded."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.count = 0
        self.executors: set[str] = set()
        """Boot ids that have claimed anything."""
        self._new_executor = asyncio.Event()

    async def follow(self) -> None:
        """Count for ever."""
        routes = RouteMap(partitions=self._pipeline.names.partitions)
        async with reading(self._pipeline.kafka, client_id="benchmark") as reader:
            await reader.assign({TopicPartition(routes.ledger, p): 0 for p in range(routes.partitions)})
            while True:
                for record in await reader.poll(0.5):
                    match decode_if_verdict(record):
                        case Succeeded():
                            self.count += 1
                        case Claimed() as claim:
                            self.executors.add(claim.executor)
                            self._new_executor.set()
                        case _:
                            pass

    async def until_all_work(self, executors: int) -> None:
        """Return when so many have claimed something."""
        async with asyncio.timeout(START_TIMEOUT_S):
            while len(self.executors) < executors:
                self._new_executor.clear()
                await self._new_executor.wait()

    async def rate(self, seconds: float) -> float:
        """Give how many ended a second, over this time."""
        before, began_s = self.count, time.monotonic()
        await asyncio.sleep(seconds)
        return (self.count - before) / (time.monotonic() - began_s)


async def storm(executors: Executors, every_s: float, seconds: float) -> int:
    """Let executors come and go; give how many came."""
    passing: list[asyncio.subprocess.Process] = []
    until_s, came = time.monotonic() + seconds, 0
    while time.monotonic() < until_s:
        passing.append(await executors.start())
        came += 1
        if len(passing) > PASSING_MAX:
            passing.pop(0).send_signal(signal.SIGTERM)
        await asyncio.sleep(every_s)
    return came


async def measure(every_s: float, seconds: float) -> dict[str, float]:
    """Bring up a pipeline of its own and measure."""
    slots = {"PENSTOCK_WORKERS": "1", "PENSTOCK_SLOTS": str(SLOTS)}
    with data_directory("rebalance") as data:
        async with running(data, settings=slots) as pipeline:
            return await _on(pipeline, Executors(pipeline, data, slots), every_s, seconds)


async def _on(pipeline: Pipeline, executors: Executors, every_s: float, seconds: float) -> dict[str, float]:
    ended = Ended(pipeline)
    following = asyncio.create_task(ended.follow())
    most_s = SETTLE_S + BEFORE_S + seconds * (STANDING + PASSING_MAX)
    try:
        async with Client(kafka=pipeline.kafka, names=pipeline.names) as client:
            jobs = int(most_s / NAP_S * SLOTS * STANDING)
            await client.submit_many([{"type": SLEEP, "payload": {"s": NAP_S}}] * jobs)
        for _ in range(STANDING - 1):
            await executors.start()
        await ended.until_all_work(STANDING)
        await asyncio.sleep(SETTLE_S)
        before = await ended.rate(BEFORE_S)
        sys.stderr.write(f"before: {before:.1f} jobs/s\n")
        began, began_s = ended.count, time.monotonic()
        came = await storm(executors, every_s, seconds)
        during = (ended.count - began) / (time.monotonic() - began_s)
    finally:
        await executors.stop_all()
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
    return {
        "came": came,
        "before_per_s": round(before, 1),
        "during_per_s": round(during, 1),
        "ratio": round(during / before, 2),
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rebalance", description=__doc__)
    parser.add_argument("--every", type=float, default=2.0, metavar="S")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S")
    options = parser.parse_args()
    print(json.dumps(asyncio.run(measure(options.every, options.seconds)), indent=1))


if __name__ == "__main__":
    main()
