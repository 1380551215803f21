"""The executors' own code in virtual time: how well queues pool when no other process takes a core.

Everything of ``services.executor`` runs, on the log in memory; only the worker processes are stand-ins that
occupy a slot for as long as they are told. An append takes ``APPEND_S``, a look ``LOOK_TAKES_S``;
computing takes no time. Whole hours run in seconds and repeat exactly, whatever else the machine does.

``python -m benchmarks.pooling [--load L] [--seconds S]`` prints one JSON object.
"""

import argparse
import asyncio
import json
import random
import selectors
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import msgspec
from typing_extensions import override

from adapters.memory.appender import MemoryAppender
from adapters.memory.broker import MemoryBroker
from adapters.memory.group import MemoryGroupMember
from adapters.memory.progress import MemoryGroupProgress
from adapters.memory.reader import MemoryReader
from adapters.telemetry.health import Health
from benchmarks.queueing import Arrival, island_waits, shared_waits
from benchmarks.results import Waits
from benchmarks.stealing import EXECUTORS, PARTITIONS, SLOTS, Load, draw, owners, waits_of
from core.ledger.verdicts import Succeeded
from core.log import Appended, NewRecord, TopicPartition
from core.stealing import Progress
from penstock.identity import home
from penstock.worker.frames import JobNote, JobOutcome, StartJob, TaskPolicy
from ports.control import ControlWatch
from ports.meter import Metric
from schemas.accepted_job import AcceptedJob, QueuedJob
from schemas.codec import decode_if_verdict, job_record
from schemas.topics import RouteMap
from services.executor import fetch, wiring
from services.executor.settings import ExecutorSettings
from services.executor.wiring import Executor, Readers

APPEND_S = 0.01
"""From an append until its record can be read; acknowledged at the same time."""
LOOK_TAKES_S = 0.01
EPOCH = "bench"
ROUTES = RouteMap(partitions=PARTITIONS)
SETTLE_S = 5.0
BEGAN_MS = 1_000_000_000


class Pooling(msgspec.Struct, frozen=True):
    """What one load found."""

    jobs: int
    succeeded: int
    measured: Waits
    shared: Waits
    """Simulated: one queue for all slots."""
    islands: Waits
    claims: dict[str, int]
    """By ``source result``."""
    committed_all: bool
    """Whether the group has committed everything at the end."""

    @property
    def ratio(self) -> float:
        """Mean wait in terms of one shared queue."""
        return self.measured.mean / self.shared.mean


class _Jump(selectors.SelectSelector):
    """Waits for nothing: the time that was to be waited is over at once."""

    now_s = 0.0

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now_s += max(0.0, timeout or 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock moves only while all its tasks wait. Threads would never be waited for."""

    def __init__(self) -> None:
        self.jump = _Jump()
        super().__init__(self.jump)

    @override
    def time(self) -> float:
        return self.jump.now_s


class _SlowAppender(MemoryAppender):
    @override
    async def append(self, records: Sequence[NewRecord]) -> list[Appended]:
        await asyncio.sleep(APPEND_S)
        return await super().append(records)


class _SlowProgress(MemoryGroupProgress):
    @override
    async def look(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Progress]:
        await asyncio.sleep(LOOK_TAKES_S)
        return await super().look(partitions)


class Slots:
    """Stands in for the worker pool: a job occupies a slot for the time its payload says."""

    def __init__(self, started: Callable[[str], None]) -> None:
        self.policies: dict[str, TaskPolicy] = {}
        self.is_stopping = False
        self._started = started
        self._running: set[str] = set()
        self._ended: list[JobOutcome] = []
        self._news = asyncio.Event()
        self._stopped = asyncio.Event()

    @property
    def free_slots(self) -> int:
        """Slots nobody occupies."""
        return SLOTS - len(self._running)

    def submit(self, jobs: Sequence[StartJob]) -> None:
        """Occupy a slot for each; a job comes once."""
        loop = asyncio.get_running_loop()
        for job in jobs:
            assert job.key not in self._running
            self._started(job.job_id)
            self._running.add(job.key)
            run_s = float(msgspec.json.decode(job.payload))
            loop.call_later(run_s, self._end, JobOutcome(job.key, ok=True, run_s=run_s))

    def _end(self, outcome: JobOutcome) -> None:
        self._running.discard(outcome.key)
        self._ended.append(outcome)
        self._news.set()

    async def outcomes(self) -> list[JobOutcome]:
        """Wait for ended jobs; none when stopped."""
        while not self._ended and not self.is_stopping:
            self._news.clear()
            await self._news.wait()
        ended, self._ended = self._ended, []
        return ended

    async def notes(self) -> list[JobNote]:
        """Give none until stopped."""
        await self._stopped.wait()
        return []

    def renew_lease(self, until_s: float) -> None:
        """Nothing of it can outlive the executor."""

    async def stop(self, _grace_s: float) -> None:
        """Let whoever waits go."""
        self.is_stopping = True
        self._stopped.set()
        self._news.set()


class _Claims:
    """A meter of claims alone."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def count(self, metric: Metric, amount: float = 1, **labels: str) -> None:
        if metric is Metric.CLAIMS:
            name = f"{labels['source']} {labels['result']}"
            self.counts[name] = self.counts.get(name, 0) + int(amount)

    def gauge(self, *_args: object, **_labels: object) -> None: ...

    def observe(self, *_args: object, **_labels: object) -> None: ...


class _World:
    def __init__(self, loop: asyncio.AbstractEventLoop, jobs: int) -> None:
        self.all_started = asyncio.Event()
        self.jobs = jobs
        self.broker = MemoryBroker(self.now_ms)
        self.broker.create_topics(ROUTES.specs())
        self.loop = loop
        self.meter = _Claims()
        self.started_s: dict[str, float] = {}
        self.stopping = asyncio.Event()

    def started(self, job_id: str) -> None:
        assert job_id not in self.started_s, "ran twice"
        self.started_s[job_id] = self.loop.time()
        if len(self.started_s) == self.jobs:
            self.all_started.set()

    def now_ms(self) -> int:
        return BEGAN_MS + round(self.loop.time() * 1000)

    async def executor(self, name: str, *, steals: bool) -> Executor:
        broker = self.broker
        service = SimpleNamespace(
            routes=ROUTES,
            appender=_SlowAppender(broker),
            meter=self.meter,
            instance=name,
            clock=SimpleNamespace(now_ms=self.now_ms),
            epoch=SimpleNamespace(epoch=EPOCH),
            stopping=self.stopping,
            health=Health(),
        )
        group = ROUTES.group("executor.default")
        topics = ROUTES.executions("default")
        member = MemoryGroupMember(broker, group=group, instance=name, topics=topics)
        await member.start()
        settings = ExecutorSettings(slots=SLOTS, workers=1)
        readers = Readers(*[MemoryReader(broker) for _ in Readers._fields])
        control = ControlWatch(readers.control, ROUTES)
        made = Executor(
            cast("Any", service), settings, cast("Any", Slots(self.started)), member, readers, control
        )
        if steals:
            made.steal_with(MemoryReader(broker), _SlowProgress(broker, group=group))
        return made


async def _simulate(jobs: Sequence[tuple[float, float]], *, steals: bool) -> Pooling:
    loop = asyncio.get_running_loop()
    world = _World(loop, len(jobs))
    dice = random.Random(len(jobs))
    arrivals: dict[str, Arrival] = {}
    owner = owners()
    async with asyncio.TaskGroup() as tasks:
        for number in range(EXECUTORS):
            tasks.create_task((await world.executor(f"executor-{number}", steals=steals)).run())
        await asyncio.sleep(SETTLE_S)
        began_s = loop.time()
        for number, (due_s, run_s) in enumerate(jobs):
            await asyncio.sleep(began_s + due_s - loop.time())
            job_id = str(uuid.UUID(int=dice.getrandbits(128), version=4))
            partition = home(job_id, PARTITIONS)
            world.broker.write(_dispatch(number, job_id, partition, run_s, world.now_ms()))
            arrivals[job_id] = Arrival(loop.time(), run_s, 0.0, owner[partition])
        await world.all_started.wait()
        # The last runs end; then everything is committed.
        await asyncio.sleep(max(run_s for _, run_s in jobs) + SETTLE_S)
        succeeded = _succeeded(world.broker)
        world.stopping.set()
    waits = [world.started_s[job_id] - arrival.ready_s for job_id, arrival in arrivals.items()]
    every = list(arrivals.values())
    return Pooling(
        len(jobs),
        succeeded,
        waits_of(waits),
        waits_of(shared_waits(every, EXECUTORS * SLOTS)),
        waits_of(island_waits(every, SLOTS)),
        dict(sorted(world.meter.counts.items())),
        committed_all=_all_committed(world.broker),
    )


def _dispatch(number: int, job_id: str, partition: int, run_s: float, now_ms: int) -> NewRecord:
    payload = msgspec.Raw(msgspec.json.encode(run_s))
    origin = f"{EPOCH}:0:{number}"
    job = AcceptedJob(origin, job_id, "t", "default", "default", payload, 5, 0, 3600.0, 3, "", "")
    return job_record(
        ROUTES.execution("default", 2), partition, QueuedJob(job, now_ms, 2, 0.0), job, b"QUEUED"
    )


def _succeeded(broker: MemoryBroker) -> int:
    lanes = [TopicPartition(ROUTES.ledger, partition) for partition in range(PARTITIONS)]
    records = [record for lane in lanes for record in broker.read(lane, 0, broker.end(lane))]
    return sum(isinstance(decode_if_verdict(record), Succeeded) for record in records)


def _all_committed(broker: MemoryBroker) -> bool:
    committed = broker.group(ROUTES.group("executor.default")).committed
    lanes = [TopicPartition(topic, p) for topic in ROUTES.executions("default") for p in range(PARTITIONS)]
    return all(committed.get(lane, 0) == broker.end(lane) for lane in lanes)


def simulate(load: Load, *, steals: bool, seed: int = 1) -> Pooling:
    """Run a load; give waits of it, of the simulations on the same jobs, and what became of claims."""
    loop = VirtualLoop()
    try:
        with ExitStack() as stack:
            # The two clocks of an executor that are not the loop's.
            stack.enter_context(patch.object(wiring, "boot_clock_s", loop.time))
            stack.enter_context(patch.object(fetch, "time", SimpleNamespace(monotonic=loop.time)))
            random.seed(seed)
            return loop.run_until_complete(_simulate(draw(load, seed), steals=steals))
    finally:
        loop.close()


def main() -> None:
    """Print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--load", type=float, default=0.9)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--mean-run-s", type=float, default=6.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    load = Load(given.seconds, given.load, given.mean_run_s)
    found = {
        "on" if steals else "off": simulate(load, steals=steals, seed=given.seed) for steals in (True, False)
    }
    print(json.dumps(msgspec.to_builtins(found), indent=1))


if __name__ == "__main__":
    main()
