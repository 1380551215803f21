"""Plots of the simulation: ``python -m benchmarks.scale.plots build/scale.json docs/scale``."""

import sys
from functools import partial
from pathlib import Path

import msgspec
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.learning.plots import png
from benchmarks.results import Results, Scale, SimPoint
from core.planning.laws import Scalability

SIZE_IN = (7.2, 3.2)
COLORS = ("#1b6ca8", "#d1495b", "#66a182", "#edae49", "#7d5ba6", "#6c757d", "#2b2d42", "#8d99ae")
SHOWN = ("ingest", "prioritizer", "executor", "dlq_handler", "materializer", "scheduler", "kafka", "postgres")


def draw(scale: Scale) -> dict[str, bytes]:
    """Draw every plot: its name and its PNG."""
    return {
        "rates": png(partial(_rates, scale=scale), SIZE_IN),
        "partitions": png(partial(_partitions, scale=scale), SIZE_IN),
    }


def _rates(figure: Figure, scale: Scale) -> None:
    busy, late = figure.subplots(1, 2)
    at = [point.per_s / 1000 for point in scale.rates]
    _busy(busy, at, scale.rates)
    busy.set(xlabel="1,000 jobs/s")
    _late(late, at, scale.rates)
    late.set(xlabel="1,000 jobs/s")
    figure.suptitle("1,000 partitions, instances planned for 100,000 jobs/s", fontsize=9)


def _partitions(figure: Figure, scale: Scale) -> None:
    busy, size = figure.subplots(1, 2)
    at = [float(point.partitions) for point in scale.partitions]
    _busy(busy, at, scale.partitions)
    busy.set(xlabel="partitions, at 100,000 jobs/s", xscale="log")
    law = Scalability(scale.contention, scale.coherency)
    smallest = scale.sizes[0]
    several = [point.instances / smallest.instances for point in scale.sizes]
    size.plot(
        several, [point.jobs_per_s / smallest.jobs_per_s for point in scale.sizes], "o", color=COLORS[0]
    )
    size.plot(several, [law.capacity(n) for n in several], color=COLORS[1], label="scalability law, fitted")
    size.plot(several, several, color="#bbbbbb", linewidth=0.8, label="linear")
    size.set(xlabel=f"instances / {smallest.instances}", ylabel="rows/s, to the smallest")
    size.legend(frameon=False)


def _busy(axes: Axes, at: list[float], points: tuple[SimPoint, ...]) -> None:
    for color, name in zip(COLORS, SHOWN, strict=True):
        axes.plot(at, [point.busy.get(name, 0.0) for point in points], "o-", ms=3, color=color, label=name)
    axes.axhline(1.0, color="#bbbbbb", linewidth=0.8)
    axes.set(ylabel="busy, of what there is", ylim=(0, 1.6))
    axes.legend(frameon=False, fontsize=6, ncols=2)


def _late(axes: Axes, at: list[float], points: tuple[SimPoint, ...]) -> None:
    for color, step in zip(COLORS, ("started", "terminal row"), strict=False):
        for place, style, words in ((0, "-", "p50"), (1, "--", "p99")):
            times = [point.until_ms.get(step, (float("nan"),) * 2)[place] for point in points]
            axes.plot(at, times, style, color=color, label=f"{step}, {words}")
    axes.set(ylabel="ms from due", yscale="log")
    axes.legend(frameon=False, fontsize=6)


def main(arguments: list[str]) -> int:
    """Draw what a file of results says; the exit code is 1 when it says nothing of it."""
    source, folder = map(Path, arguments)
    results = msgspec.json.decode(source.read_bytes(), type=Results)
    if results.scale is None:
        sys.stderr.write(f"{source} holds no simulation: python -m benchmarks --only scale --json {source}\n")
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in draw(results.scale).items():
        (folder / f"{name}.png").write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
