"""Plots of results, as PNG."""

from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes

from benchmarks.learning.plots import COLORS, alone, png
from benchmarks.results import GrowthPoint, Latency, Results, StageCost, Throughput
from benchmarks.throughput import middle


def draw(results: Results) -> dict[str, bytes]:
    """Draw what was measured: the name of each plot and its PNG."""
    plots: dict[str, bytes] = {}
    if results.throughput:
        plots["CPU of a job by process"] = png(alone(partial(_by_process, rounds=results.throughput)))
    if results.latency:
        plots["latency"] = png(alone(partial(_latency, rates=results.latency)))
    if results.growth:
        plots["growth"] = png(alone(partial(_growth, points=results.growth)))
    if results.stages:
        plots["stages"] = png(alone(partial(_stages, stages=results.stages)))
    return plots


def _by_process(axes: Axes, rounds: tuple[Throughput, ...]) -> None:
    spent = sorted(middle(rounds).cpu_us_per_job.items(), key=lambda item: item[1])
    bars = axes.barh([name for name, _ in spent], [us for _, us in spent], color=COLORS[0])
    axes.bar_label(bars, fmt="%.0f", fontsize=6, padding=2)
    axes.set(xlabel="CPU of a job, us", title="A backlog of no-op jobs")


def _latency(axes: Axes, rates: Sequence[Latency]) -> None:
    for color, latency in zip(COLORS, rates, strict=False):
        steps = list(latency.until)
        for style, name in (("-o", "p50"), ("--o", "p99")):
            times = [getattr(latency.until[step], name) for step in steps]
            axes.plot(steps, times, style, ms=3, color=color, label=f"{latency.per_s:g}/s, {name}")
    axes.set(ylabel="ms from due", yscale="log")
    axes.tick_params(axis="x", labelrotation=20)
    axes.legend(frameon=False, fontsize=6)


def _growth(axes: Axes, points: Sequence[GrowthPoint]) -> None:
    for color, what in zip(COLORS, dict.fromkeys(one.what for one in points), strict=False):
        spent = [(max(1, one.size), middle(one.rounds).total_us) for one in points if one.what == what]
        first_us = spent[0][1]
        axes.plot([n for n, _ in spent], [us / first_us for _, us in spent], "o-", color=color, label=what)
    axes.axhline(1.15, color="#bbbbbb", linewidth=0.8, linestyle=":")
    axes.set(xlabel="beside", xscale="log", ylabel="CPU of a job, to the first", ylim=(0, None))
    axes.legend(frameon=False)


def _stages(axes: Axes, stages: Sequence[StageCost]) -> None:
    named = [one.stage for one in stages][::-1]
    bars = axes.barh(named, [one.us for one in stages][::-1], color=COLORS[0])
    axes.bar_label(bars, fmt="%.1f", fontsize=5, padding=2)
    axes.tick_params(axis="y", labelsize=5)
    axes.set(xlabel="CPU of a job, us")
