"""What a run of the benchmarks found, as it is written to a file."""

import msgspec


class Machine(msgspec.Struct, frozen=True):
    """Where and on what was measured; figures of two machines are not comparable without it."""

    cores: int
    processor: str
    kernel: str
    python: str
    commit: str
    """Commit of the tree, with ``+`` when files differ from it; empty outside a clone."""
    load_1min: float
    """Runnable processes at the start, averaged over a minute: what else the machine did."""
    measured_at: str = ""
    """When it began, RFC 3339, UTC."""


class StageCost(msgspec.Struct, frozen=True):
    """CPU of one piece of the pipeline, alone in one process."""

    stage: str
    unit: str
    """What one operation is: ``job`` or ``record``."""
    us: float
    ratio: float
    """In runs of the calibration loop (``benchmarks.timing.calibrate``)."""
    calibration_us: float


class LogCost(msgspec.Struct, frozen=True):
    """One client of the broker, in batches: CPU of the client's process, and elapsed time."""

    what: str
    cpu_us: float
    """A record."""
    elapsed_us: float
    """A record, the broker's part included."""
    ratio: float
    """CPU of a record in runs of the calibration loop."""


class TableCost(msgspec.Struct, frozen=True):
    """Rows of a job written to Postgres in batches: CPU of writer and database, and elapsed time."""

    what: str
    cpu_us: float
    """A job."""
    database_us: float
    """A job, exact to 10 ms over the run."""
    elapsed_us: float
    ratio: float
    """CPU of the writer in runs of the calibration loop."""


class Throughput(msgspec.Struct, frozen=True):
    """A backlog of no-op jobs, end to end."""

    jobs: int
    jobs_per_s: float
    """From the call of ``submit_many`` until the last row in Postgres is terminal."""
    submitted_per_s: float
    """As the client alone saw it: until the last acknowledgement."""
    cpu_us_per_job: dict[str, float]
    """By process; ``client`` is the submitting and watching process itself."""

    @property
    def total_us(self) -> float:
        """CPU of a job over all processes."""
        return sum(self.cpu_us_per_job.values())


class GrowthPoint(msgspec.Struct, frozen=True):
    """A backlog of no-op jobs beside ever more of something."""

    what: str
    size: int
    rounds: tuple[Throughput, ...]


class GatedThroughput(msgspec.Struct, frozen=True):
    """A backlog of ordered no-op jobs, end to end."""

    keys: int
    """Ordering keys; jobs of one run one after the other."""
    throughput: Throughput


class Quantiles(msgspec.Struct, frozen=True):
    """Milliseconds."""

    p50: float
    p99: float
    p999: float
    max: float


class Latency(msgspec.Struct, frozen=True):
    """Jobs at a fixed rate, whatever the pipeline does; times from the moment each was due."""

    per_s: float
    jobs: int
    until: dict[str, Quantiles]
    cpu_percent: dict[str, float]
    """Of one core, by process, while the load ran; ``client`` submits and asks for the rows."""


class Idle(msgspec.Struct, frozen=True):
    """A pipeline with nothing to do."""

    seconds: float
    cpu_percent: dict[str, float]
    """Of one core, by process."""
    memory_mb: dict[str, float]
    """By process with its children; shared pages are divided."""


class Waits(msgspec.Struct, frozen=True):
    """Seconds between put into a bucket and started."""

    mean: float
    p50: float
    p95: float
    p99: float
    max: float


class StealingRun(msgspec.Struct, frozen=True):
    """One load through the pipeline, and its very arrivals and run times through the simulation."""

    steal: str
    jobs: int
    measured: Waits
    shared: Waits
    """Simulated: one queue for all slots."""
    shared_occupied: Waits
    """Simulated: the same, with slots taken from the claim on, as they were when measured."""
    islands: Waits
    """Simulated: one queue an executor."""
    claims: dict[str, int]
    """By ``source result``, over all executors."""
    cpu_percent: float
    """Of one core, the whole pipeline, while the load ran."""

    @property
    def ratio(self) -> float:
        """Mean wait in terms of one shared queue."""
        return self.measured.mean / self.shared.mean if self.shared.mean else float("inf")


class Stealing(msgspec.Struct, frozen=True):
    """Heavy-tailed jobs at an open load, with stealing on and off."""

    partitions: int
    executors: int
    slots: int
    load: float
    mean_run_s: float
    sigma: float
    """Of the logarithm of the run times."""
    runs: tuple[StealingRun, ...]


class OthersBeside(msgspec.Struct, frozen=True):
    """No-op jobs, alone or beside many that wait."""

    jobs_per_s: tuple[float, ...]
    """Of a backlog, each round."""
    cpu_us_per_job: tuple[float, ...]
    """Of all processes of the pipeline, each round: what the machine's other work changes least."""
    until: dict[str, Quantiles]
    """Latency at a fixed rate."""
    cpu_percent: dict[str, float]
    """Of one core, by process, meanwhile."""
    resident_mb: dict[str, float]
    """By process, afterwards."""


class Burst(msgspec.Struct, frozen=True):
    """Many jobs due within a short time."""

    jobs: int
    span_s: float
    ahead_s: float
    """Between the last submit and the first due time."""
    early: int
    """Let go before they were due; anything but 0 is a broken promise."""
    late_ms: Quantiles
    """From due until let go, both by the broker's clock."""
    hops_a_job: float
    cpu_percent: dict[str, float]
    """Of one core, by process, from the last submit to the last release."""


class Wheel(msgspec.Struct, frozen=True):
    """What waiting jobs cost others, and how late many due at once are."""

    waiting: int
    filled_per_s: float
    """Jobs a second until all wait and have rows."""
    alone: OthersBeside
    beside: OthersBeside
    burst: Burst


class Scoring(msgspec.Struct, frozen=True):
    """What it costs to be scored by a model of full size."""

    batch: int
    costs: tuple[StageCost, ...]
    one_ms: Quantiles
    """A decision about one job, features of its subject included, wall time."""


class CostPoint(msgspec.Struct, frozen=True):
    """What a job costs with so many partitions and instances."""

    partitions: int
    instances: int
    """Of every service that jobs need."""
    payload_bytes: int
    attempts_per_job: int
    """2: the first attempt of every job failed."""
    rounds: tuple[Throughput, ...]
    """CPU by service, all instances together."""
    records_per_job: dict[str, float]
    """By topic; buckets and tiers together."""
    log_bytes_per_job: dict[str, float]
    """By topic, as the broker keeps them once."""
    table_bytes_per_job: dict[str, float]
    """By table, indexes included."""
    wal_bytes_per_job: float
    """What Postgres writes ahead."""


class HandlerCost(msgspec.Struct, frozen=True):
    """What running in a worker process adds to a task."""

    task: str
    jobs: int
    added_ms: Quantiles
    """From hand-over to outcome less the time in the handler, one job at a time."""
    cpu_us: float
    """A job, in batches as large as a worker has slots; of both processes, the task's own included."""


class BatchCost(msgspec.Struct, frozen=True):
    """CPU of one call with so many records in so many batches, microseconds."""

    records: int
    batches: int
    append_us: float
    append_broker_us: float
    read_us: float
    read_broker_us: float


class SimCheck(msgspec.Struct, frozen=True):
    """One measured figure and what the simulation makes of it."""

    what: str
    unit: str
    measured: float
    simulated: float

    @property
    def error(self) -> float:
        """Relative to what was measured."""
        return self.simulated / self.measured - 1


class SimPoint(msgspec.Struct, frozen=True):
    """One simulated load."""

    per_s: float
    partitions: int
    instances: int
    """Of all services together."""
    jobs_per_s: float
    """Rows that came, after the warm-up."""
    until_ms: dict[str, tuple[float, float]]
    """Median and 99th percentile by step."""
    busy: dict[str, float]
    """Of the most used instance of each service, and of brokers and database; above 1 it is behind."""

    @property
    def busiest(self) -> str:
        """What is used most."""
        return max(self.busy, key=lambda name: self.busy[name])


class SimLeaving(msgspec.Struct, frozen=True):
    """An instance that dies under load, until its partitions' rows are as late as all others'."""

    service: str
    session_s: float
    waiting_most: int
    """Jobs without a row, at worst."""
    waiting_before: int
    recovered_s: float | None
    """From the death on; None: not while it was watched."""


class Scale(msgspec.Struct, frozen=True):
    """What the simulation of a large pipeline says, and how far it may be believed."""

    checks: tuple[SimCheck, ...]
    rates: tuple[SimPoint, ...]
    """One deployment under ever more load."""
    partitions: tuple[SimPoint, ...]
    """One load over ever more partitions."""
    sizes: tuple[SimPoint, ...]
    """More load than it can do, with ever more instances on the same brokers and database."""
    contention: float
    coherency: float
    """Of the scalability law, fitted to ``sizes``."""
    leaving: SimLeaving


class Results(msgspec.Struct, frozen=True):
    """Everything one run measured; parts that were not asked for are empty."""

    machine: Machine
    stages: tuple[StageCost, ...] = ()
    log: tuple[LogCost, ...] = ()
    table: tuple[TableCost, ...] = ()
    idle: Idle | None = None
    latency: tuple[Latency, ...] = ()
    throughput: tuple[Throughput, ...] = ()
    """By ``submit_many``."""
    records: tuple[Throughput, ...] = ()
    """By records of a producer of its own."""
    growth: tuple[GrowthPoint, ...] = ()
    gates: tuple[GatedThroughput, ...] = ()
    stealing: Stealing | None = None
    wheel: Wheel | None = None
    scoring: Scoring | None = None
    handlers: tuple[HandlerCost, ...] = ()
    costs: tuple[CostPoint, ...] = ()
    batches: tuple[BatchCost, ...] = ()
    scale: Scale | None = None


def write_json(results: Results) -> bytes:
    """Give the file's content."""
    return msgspec.json.format(msgspec.json.encode(results)) + b"\n"
