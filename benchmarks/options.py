"""What a run of the benchmarks is asked for."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import ROOT


class Part(StrEnum):
    """A group of measurements."""

    STAGES = "stages"
    LATENCY = "latency"
    THROUGHPUT = "throughput"
    GATES = "gates"
    STEALING = "stealing"
    WHEEL = "wheel"
    SCORING = "scoring"
    COSTS = "costs"
    BATCHES = "batches"
    SCALE = "scale"
    HANDLERS = "handlers"
    GROWTH = "growth"


OWN = frozenset({Part.STEALING, Part.WHEEL, Part.SCORING, Part.COSTS, Part.SCALE, Part.HANDLERS, Part.GROWTH})
"""Parts that need no common pipeline: they have their own, or none, and nearly all take minutes."""
USUAL = frozenset(Part) - OWN - {Part.GATES, Part.BATCHES} | {Part.HANDLERS}
"""What is measured when no part is named; gated jobs change what the scheduler does for all others."""


class Shape(NamedTuple):
    """How many partitions, and instances of every service that jobs need."""

    partitions: int
    instances: int


SHAPES = tuple(map(Shape, (4, 4, 4, 16, 32), (1, 2, 4, 1, 1)))


SIZES: dict[str, Sequence[int]] = {
    "rows": (10_000, 1_000_000, 10_000_000),
    "queued": (1, 100_000, 1_000_000),
    "types": (1, 100, 1000),
}
"""What grows, and how far."""


@dataclass(frozen=True)
class Options:
    """How much is measured.

    Attributes
    ----------
    parts
        Which groups.
    jobs, rounds
        Of the backlog, and how often it is repeated; medians are shown.
    rates
        Jobs a second of the latency runs, each ``seconds`` long.
    steal_s, load
        Length and load (of all slots) of the heavy-tailed load for stealing.
    waiting, due
        Jobs that wait beside others, and jobs due within ``span_s``, for the wheel.
    sizes
        Of what grows beside the jobs that are measured.
    shapes
        Of the pipelines whose costs are measured; the first is what the others are compared with.
    repeats
        Of each stage alone; the best counts.
    handler_jobs
        Of each kind of task, run in a worker without a pipeline.
    """

    parts: frozenset[Part] = USUAL
    jobs: int = 20_000
    rounds: int = 3
    rates: tuple[float, ...] = (50.0, 500.0)
    seconds: float = 20.0
    idle_s: float = 10.0
    repeats: int = 5
    least_s: float = 0.05
    steal_s: float = 360.0
    load: float = 0.9
    waiting: int = 1_000_000
    due: int = 100_000
    span_s: float = 60.0
    log_batches: int = 20
    handler_jobs: int = 2000
    shapes: tuple[Shape, ...] = SHAPES
    sizes: dict[str, Sequence[int]] = field(default_factory=lambda: SIZES)
    json_file: Path = ROOT / "build" / "bench.json"


QUICK = Options(
    jobs=3000,
    rounds=1,
    seconds=5.0,
    idle_s=3.0,
    repeats=3,
    least_s=0.02,
    log_batches=5,
    handler_jobs=200,
    steal_s=30.0,
    waiting=20_000,
    due=5000,
    span_s=10.0,
    rates=(50.0,),
    sizes={"rows": (1000, 20_000), "queued": (1, 2000), "types": (1, 100)},
)
"""A look within about a minute; too short for figures to compare."""


def parse(arguments: list[str]) -> Options:
    """Read the command line; leaves the process with a message when it cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a look, within about a minute")
    parser.add_argument("--only", type=Part, choices=list(Part), help="one group of measurements")
    parser.add_argument("--jobs", type=_positive, help="jobs of the backlog")
    parser.add_argument("--rates", type=_rates, help="jobs a second of the latency runs, such as 50,500")
    parser.add_argument("--load", type=_load, help="of all slots, for stealing; default: 0.9")
    parser.add_argument("--waiting", type=_positive, help="jobs that wait beside others, for the wheel")
    parser.add_argument("--due", type=_positive, help="jobs due within a minute, for the wheel")
    parser.add_argument(
        "--shapes", type=_shapes, help="partitions x instances for costs, such as 4x1,4x2,16x1"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="default: build/bench.json")
    given = parser.parse_args(arguments)
    base = QUICK if given.quick else Options()
    return replace(
        base,
        parts=base.parts if given.only is None else frozenset({given.only}),
        jobs=given.jobs or base.jobs,
        rates=given.rates or base.rates,
        load=given.load or base.load,
        waiting=given.waiting or base.waiting,
        due=given.due or base.due,
        shapes=given.shapes or base.shapes,
        json_file=given.json or base.json_file,
    )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def _load(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise ValueError(text)
    return value


def _rates(text: str) -> tuple[float, ...]:
    rates = tuple(float(part) for part in text.split(","))
    if min(rates) <= 0:
        raise ValueError(text)
    return rates


def _shapes(text: str) -> tuple[Shape, ...]:
    shapes = tuple(_shape(*part.split("x")) for part in text.split(","))
    if shapes != tuple(dict.fromkeys(shapes)):
        raise ValueError(text)
    return shapes


def _shape(partitions: str, instances: str = "") -> Shape:
    return Shape(_positive(partitions), _positive(instances))
