"""What all parts of the simulated pipeline share: time, dice, processors, brokers, and what is observed."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.scale.costs import SimCosts
from benchmarks.scale.engine import Clock, Cores, Process, Then

Births = npt.NDArray[np.float64]
"""``(n,)`` float64: when each of n jobs was due, seconds."""
ROW = "terminal row"
BACKGROUND_S = 0.1
"""How often a process does what it does without any load."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """What stands where.

    Attributes
    ----------
    shared_cores
        All processes share so many cores; 0: every instance has one of its own.
    network_s
        One way between any two.
    replication_s
        What acknowledgements wait for other brokers.
    fsync_s
        A commit of the database beside its CPU.
    """

    partitions: int
    instances: Mapping[str, int]
    slots: int = 64
    brokers: int = 1
    broker_cores: int = 1
    postgres_cores: int = 1
    shared_cores: int = 0
    network_s: float = 0.0
    replication_s: float = 0.0
    fsync_s: float = 0.0005


def touched(places: float, records: int) -> float:
    """Give how many of equally likely places so many records fall into, on average."""
    return places * (1 - (1 - 1 / places) ** records) if records else 0.0


class World:
    """One simulation."""

    def __init__(self, deployment: Deployment, costs: SimCosts, seed: int) -> None:
        self.deployment = deployment
        self.costs = costs
        self.clock = Clock()
        self.dice = np.random.default_rng(seed)
        self.reached: dict[str, list[Births]] = defaultdict(list)
        """By step: seconds from due to there, of every job."""
        self.row_times: list[Births] = []
        self._shared = Cores(self.clock, deployment.shared_cores) if deployment.shared_cores else None
        self.processes: dict[str, Process] = {}
        self.brokers = self.process("kafka", deployment.brokers * deployment.broker_cores)
        self.postgres = self.process("postgres", deployment.postgres_cores)

    def process(self, name: str, cores: int = 1) -> Process:
        """Make a process, on the shared cores or on its own."""
        process = Process(self._shared or Cores(self.clock, cores))
        self.processes[name] = process
        share = self.costs.idle_share.get(name.partition("-")[0], 0.0)
        if share:
            self._background(process, share)
        return process

    def _background(self, process: Process, share: float) -> None:
        def again() -> None:
            process.work(share * BACKGROUND_S, lambda: None)
            self.clock.after(BACKGROUND_S, again)

        self.clock.after(float(self.dice.uniform(0, BACKGROUND_S)), again)

    def append(self, records: int, batches: float, acknowledged: Then) -> None:
        """Have records appended."""
        wait_s = 2 * self.deployment.network_s + self.deployment.replication_s
        self._request(records, batches, self.costs.broker.batch_us, wait_s, acknowledged)

    def fetch(self, records: int, batches: float, arrived: Then) -> None:
        """Have records fetched."""
        wait_s = self.deployment.network_s
        self._request(records, batches, self.costs.broker.read_batch_us, wait_s, arrived)

    def _request(self, records: int, batches: float, batch_us: float, wait_s: float, then: Then) -> None:
        broker = self.costs.broker
        requests = max(1, min(round(batches), self.deployment.brokers))
        cost_us = requests * broker.request_us + batches * batch_us + records * broker.record_us
        missing = requests

        def answered() -> None:
            nonlocal missing
            missing -= 1
            if not missing:
                self.clock.after(wait_s, then)

        # Every leader gets its own, and answers for itself.
        for _ in range(requests):
            self.brokers.work(cost_us / requests / 1e6, answered)

    def note(self, step: str, births: Births) -> None:
        """Observe that these jobs are there now."""
        self.reached[step].append(self.clock.now_s - births)
        if step == ROW:
            self.row_times.append(np.full(len(births), self.clock.now_s))

    def scattered(self, births: Births, owners: int) -> list[tuple[int, Births]]:
        """Give every owner its part: a job's partition is a hash of its id."""
        if owners == 1:
            return [(0, births)]
        chosen = self.dice.integers(owners, size=len(births))
        if len(births) == 1:
            return [(int(chosen[0]), births)]
        counts = np.bincount(chosen, minlength=owners)
        ends = np.cumsum(counts).tolist()
        sorted_ = births[np.argsort(chosen, kind="stable")]
        begins = [0, *ends]
        return [(owner, sorted_[begins[owner] : ends[owner]]) for owner in np.flatnonzero(counts).tolist()]
