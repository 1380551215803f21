"""What a run found: plain values, written as JSON and drawn as a page."""

from dataclasses import asdict, dataclass, field

import msgspec


@dataclass(frozen=True)
class Interval:
    """A figure, and its 95 % interval by clusters of tenants."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class FailureScore:
    """How well one predictor of failure did."""

    pr_auc: Interval
    auc: float
    log_loss: float
    ece: float
    recall_at_90: float
    recall_at_80: float
    diverted_good_per_1000: float
    """Jobs that would not have failed, per 1,000 such, that stand above the precision-.9 point."""
    slices: dict[str, float]
    """PR-AUC by slice."""
    gain: Interval | None = None
    """PR-AUC less that of the hierarchical rate."""


@dataclass(frozen=True)
class RunScore:
    """How well one predictor of run time did."""

    spearman: Interval
    within_2x: float
    mae_log: float
    cold_spearman: float
    slices: dict[str, float]
    """Spearman by slice."""


@dataclass(frozen=True)
class QueueScore:
    """What jobs waited under one order."""

    mean_s: float
    of_oracle: float
    slowdown: float
    p99_s: float
    max_s: float
    of_ewma: float
    """Mean wait of jobs after the first 500 completions, as a ratio to the shipped order on EWMA alone."""


@dataclass(frozen=True)
class QueueTable:
    """One load."""

    trace: str
    rho: float
    slots: int
    jobs: int
    by_policy: dict[str, QueueScore]


@dataclass(frozen=True)
class Curve:
    """Points of a plot."""

    x: list[float]
    y: list[float]


@dataclass(frozen=True)
class ShockScore:
    """What jobs waited under one order while something was new, seconds."""

    mean_s: float
    of_oracle: float
    p99_s: float
    max_s: float
    marked_s: float
    """Mean wait of the jobs that are new themselves."""


@dataclass(frozen=True)
class ShockTable:
    """One thing that was new."""

    name: str
    words: str
    slots: int
    jobs: int
    marked: int
    by_policy: dict[str, ShockScore]
    found: dict[str, float]
    """Further figures, by their names in words."""
    series: dict[str, Curve]
    """Mean wait of each order, seconds, over hours."""


@dataclass(frozen=True)
class WorstCase:
    """One prediction that was far off."""

    tenant: int
    type: int
    expected: float
    happened: float


@dataclass(frozen=True)
class Results:
    """Everything a run found."""

    data: str
    """Which jobs, in words."""
    data_hash: str
    commit: str
    model_hash: str
    seed: int
    judged: str
    """Which days, in words."""
    jobs_trained: int
    jobs_judged: int
    us_a_job: float
    """Replay: fold and features, CPU; 0 when vectors were kept from an earlier run."""
    slice_jobs: dict[str, int]
    slice_failures: dict[str, int]
    failure: dict[str, FailureScore]
    run: dict[str, RunScore]
    queues: list[QueueTable]
    by_day: dict[str, dict[str, float]]
    curves: dict[str, Curve] = field(default_factory=dict)
    worst: dict[str, list[WorstCase]] = field(default_factory=dict)
    bars: list["Bar"] = field(default_factory=list)
    shocks: list[ShockTable] = field(default_factory=list)


@dataclass(frozen=True)
class Bar:
    """A figure against what it must reach."""

    metric: str
    value: float
    bar: str
    met: bool


def as_json(results: Results) -> bytes:
    """Write results; what is not a number becomes null."""
    return msgspec.json.format(msgspec.json.encode(asdict(results)), indent=2)
