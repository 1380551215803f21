"""What a run found: plain values, written as JSON and drawn as a page."""

from dataclasses import asdict, dataclass, field

import msgspec

from benchmarks.learning.results import Bar, Curve, Interval


@dataclass(frozen=True)
class ChanceScore:
    """How well one predictor said whether the next try works."""

    auc: float
    pr_auc: float
    log_loss: float


@dataclass(frozen=True)
class StopScore:
    """What one rule of stopping kept and avoided."""

    kept: Interval
    """Share of the tries that worked."""
    avoided: float
    """Share of the tries that failed."""
    hours: Interval
    """Share of the machine-hours of tries that failed."""


@dataclass(frozen=True)
class Stopping:
    """Whether to try again at all."""

    judged: str
    retries: int
    jobs: int
    lost_s: float
    """What a lost success is worth, in seconds of a machine, as chosen on earlier stretches."""
    is_recalibrated: bool
    """The rule uses probabilities that are corrected as tries end; chosen likewise."""
    chances: dict[str, ChanceScore]
    rules: dict[str, StopScore]
    hours_at_cap_5: float
    """Machine-hours avoided where as many successes are kept as by at most five retries."""
    curve: Curve
    """Machine-hours avoided over successes kept, by the ratio of costs."""


@dataclass(frozen=True)
class TimingScore:
    """What one arm reached, a recorded episode at a time."""

    cost_s: Interval
    recovered: float
    tries: float
    wasted_a_recovery: float | None
    """None where nothing recovered."""
    delay_s: float | None
    """Between recovery and the try that found it, mean."""


@dataclass(frozen=True)
class Timing:
    """When to try again."""

    judged: str
    episodes: int
    recoverable: int
    trained_on: int
    """Moments the hazard was trained on."""
    arms: dict[str, TimingScore]
    costs_by_day: dict[str, dict[str, float]]
    gain_s: Interval
    """Cost of global survival less that of the learned hazard."""


@dataclass(frozen=True)
class Results:
    """Everything a run found."""

    data: str
    data_hash: str
    commit: str
    model_hash: str
    seed: int
    stopping: Stopping
    timing: Timing
    bars: list[Bar] = field(default_factory=list)


def as_json(results: Results) -> bytes:
    """Write results; what is not a number becomes null."""
    return msgspec.json.format(msgspec.json.encode(asdict(results)), indent=2)
