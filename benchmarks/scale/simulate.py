"""One simulated run: wired as the services are, driven by a load, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.scale.costs import SimCosts
from benchmarks.scale.executor import HEARTBEAT_S, Executor
from benchmarks.scale.members import (
    BUCKETS_USED,
    SCHEDULER_REST_S,
    Follower,
    HandOver,
    Materializer,
    Member,
)
from benchmarks.scale.world import ROW, Births, Deployment, World, touched

ARRIVALS_S = 0.001
"""Jobs due within this are appended together: many producers, each with its own batches."""
SUBMIT_BATCH = 500
"""Of a backlog, appended by one client at a time."""


@dataclass(frozen=True, slots=True)
class Load:
    """What comes in.

    Attributes
    ----------
    backlog
        So many at once, before anything else; then ``rate_per_s`` for ``seconds``.
    warm_up_s
        Jobs due earlier are not in the figures.
    """

    rate_per_s: float = 0.0
    seconds: float = 0.0
    backlog: int = 0
    run_time_s: float = 0.0
    warm_up_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Leaving:
    """An instance dies; its partitions stand still until its session is over and others take them."""

    service: str
    at_s: float
    session_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a load.

    Attributes
    ----------
    jobs_per_s
        Of a backlog until the last row; else rows that came within the load's time, after the warm-up.
    waiting
        Jobs that had no row when the load ended.
    until_ms
        Median and 99th percentile by step, from due.
    busy
        Processor time asked for to that there was, by service; the most used instance. Above 1 it is behind.
    cores
        Processor time asked for a second, by service, over all of its instances.
    """

    jobs_per_s: float
    waiting: int
    until_ms: Mapping[str, tuple[float, float]]
    busy: Mapping[str, float]
    cores: Mapping[str, float]
    rows_at: Births
    """When rows came: seconds, sorted."""

    @property
    def busiest(self) -> str:
        """The resource that is used most."""
        return max(self.busy, key=lambda name: self.busy[name])


class Pipeline:
    """The services, wired: who is told of what is appended where."""

    def __init__(self, world: World, run_time_s: float) -> None:
        self.world = world
        counts, partitions = world.deployment.instances, world.deployment.partitions
        own = {name: partitions / number for name, number in counts.items()}
        # Its share of the ledger, and as many places of buckets.
        executors = [
            Executor(world, n, own["executor"] * 2, run_time_s, self._said) for n in range(counts["executor"])
        ]
        self.members: dict[str, list[Member]] = {
            "materializer": [
                Materializer(world, "materializer", n, own["materializer"])
                for n in range(counts["materializer"])
            ],
            "dlq_handler": [
                Follower(world, "dlq_handler", n, own["dlq_handler"]) for n in range(counts["dlq_handler"])
            ],
            "scheduler": [
                Follower(world, "scheduler", n, own["scheduler"], SCHEDULER_REST_S)
                for n in range(counts["scheduler"])
            ],
            "executor": [*executors],
            "prioritizer": [
                HandOver(
                    world,
                    "prioritizer",
                    n,
                    own["prioritizer"],
                    (own["prioritizer"] * BUCKETS_USED, own["prioritizer"]),
                    self._queued,
                )
                for n in range(counts["prioritizer"])
            ],
            "ingest": [
                HandOver(world, "ingest", n, own["ingest"], (partitions, partitions), self._accepted)
                for n in range(counts["ingest"])
            ],
        }
        for executor in executors:
            world.clock.after(float(world.dice.uniform(0, HEARTBEAT_S)), partial(self._beat, executor))

    def submitted(self, births: Births) -> None:
        """Take what producers have appended."""
        self.world.note("acknowledged", births)
        self._tell("ingest", "job", births)

    def _accepted(self, births: Births) -> None:
        self._tell("prioritizer", "ready", births)
        self._ledger("note", births)

    def _queued(self, births: Births) -> None:
        self._tell("executor", "dispatch", births)
        self._ledger("note", births)

    def _said(self, kind: str, births: Births, executor: Executor) -> None:
        executor.arrive(kind, births)
        for service in ("dlq_handler", "scheduler", "materializer"):
            self._tell(service, kind, births)

    def _ledger(self, kind: str, births: Births) -> None:
        for service in ("executor", "dlq_handler", "scheduler", "materializer"):
            self._tell(service, kind, births)

    def _tell(self, service: str, kind: str, births: Births) -> None:
        members = self.members[service]
        for number, part in self.world.scattered(births, len(members)):
            members[number].arrive(kind, part)

    def _beat(self, executor: Executor) -> None:
        """Append a heartbeat, which every keeper reads."""
        one = np.array([self.world.clock.now_s])

        def appended() -> None:
            for keeper in self.members["dlq_handler"]:
                keeper.arrive("heartbeat", one)

        self.world.append(1, 1, appended)
        self.world.clock.after(HEARTBEAT_S, lambda: self._beat(executor))


def simulate(
    deployment: Deployment,
    costs: SimCosts,
    load: Load,
    *,
    seed: int = 1,
    leaving: Leaving | None = None,
    drain_s: float = 0.0,
) -> Outcome:
    """Run one load; equal arguments give equal outcomes.

    Parameters
    ----------
    drain_s
        How long to watch after the load; a backlog is watched until it is done, at most an hour.
    """
    world = World(deployment, costs, seed)
    pipeline = Pipeline(world, load.run_time_s)
    end_s = load.seconds + drain_s
    if load.backlog:
        _submit_backlog(world, pipeline, load.backlog)
        _run_until_rows(world, load.backlog)
        end_s = world.clock.now_s
    if load.rate_per_s:
        _arrivals(world, pipeline, load)
    if leaving is not None:
        _leave(world, pipeline, leaving)
    world.clock.run(end_s)
    return _outcome(world, load, end_s)


def _submit_backlog(world: World, pipeline: Pipeline, jobs: int) -> None:
    """Let one client append batch after batch, as ``submit_many`` does."""
    client = world.process("client")
    births = np.zeros(jobs)

    def submit(first: int) -> None:
        batch = births[first : first + SUBMIT_BATCH]
        if not len(batch):
            return

        def appended() -> None:
            pipeline.submitted(batch)
            submit(first + SUBMIT_BATCH)

        batches = touched(world.deployment.partitions, len(batch))
        cost_s = world.costs.client_job_us * len(batch) / 1e6
        client.work(cost_s, lambda: world.append(len(batch), batches, appended))

    submit(0)


def _run_until_rows(world: World, jobs: int) -> None:
    while sum(map(len, world.reached[ROW])) < jobs and world.clock.now_s < 3600:
        world.clock.run(world.clock.now_s + 0.05)


def _arrivals(world: World, pipeline: Pipeline, load: Load) -> None:
    """Let jobs be due in a Poisson stream, appended at once by whoever produces them."""
    client = world.process("client") if world.deployment.shared_cores else None

    def tick() -> None:
        begin_s = world.clock.now_s
        count = int(world.dice.poisson(load.rate_per_s * ARRIVALS_S))
        if count:
            births = np.sort(world.dice.uniform(begin_s, begin_s + ARRIVALS_S, count))
            world.clock.after(ARRIVALS_S, lambda: send(births))
        if begin_s + ARRIVALS_S < load.seconds:
            world.clock.after(ARRIVALS_S, tick)

    def send(births: Births) -> None:
        batches = touched(world.deployment.partitions, len(births))

        def sent() -> None:
            world.append(len(births), batches, lambda: pipeline.submitted(births))

        if client is None:
            sent()
        else:
            client.work(world.costs.client_job_us * len(births) / 1e6, sent)

    tick()


def _leave(world: World, pipeline: Pipeline, leaving: Leaving) -> None:
    members = pipeline.members[leaving.service]
    gone = members[-1]

    def die() -> None:
        # What is acknowledged by its commits stands still; nothing of it is lost.
        gone.stalled_until_s = float("inf")
        world.clock.after(leaving.session_s, take_over)

    def take_over() -> None:
        members.pop()
        for kind, births in gone.leftovers():
            for number, part in world.scattered(births, len(members)):
                members[number].arrive(kind, part)

    world.clock.after(leaving.at_s, die)


def _outcome(world: World, load: Load, end_s: float) -> Outcome:
    rows = world.reached[ROW]
    rows_at = np.sort(np.concatenate(world.row_times)) if world.row_times else np.empty(0)
    until = {}
    for step, parts in world.reached.items():
        spent = np.concatenate(parts)
        until[step] = (float(np.quantile(spent, 0.5) * 1e3), float(np.quantile(spent, 0.99) * 1e3))
    due = sum(map(len, world.reached["acknowledged"]))
    inside = rows_at[(rows_at > load.warm_up_s) & (rows_at <= end_s)]
    cores: dict[str, float] = {}
    busy: dict[str, float] = {}
    for name, process in world.processes.items():
        service = name.partition("-")[0]
        cores[service] = cores.get(service, 0.0) + process.busy_s / end_s
        busy[service] = max(busy.get(service, 0.0), process.busy_s / end_s / process.cores.number)
    return Outcome(
        jobs_per_s=len(inside) / (end_s - load.warm_up_s),
        waiting=due - sum(map(len, rows)),
        until_ms=until,
        busy=busy,
        cores=cores,
        rows_at=rows_at,
    )
