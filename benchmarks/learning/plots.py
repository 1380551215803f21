"""Plots of results, as SVG or PNG."""

import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.learning.results import Results, ShockTable

Drawing = Callable[[Figure], None]
COLORS = ("#1b6ca8", "#d1495b", "#66a182", "#edae49", "#7d5ba6", "#6c757d")
SIZE_IN = (4.8, 3.4)


def draw(results: Results) -> dict[str, bytes]:
    """Draw every plot: its name and its PNG."""
    drawings: dict[str, Drawing] = {
        "precision-recall": alone(partial(_precision, results=results)),
        "calibration": alone(partial(_calibration, results=results)),
        "slices": alone(partial(_slices, results=results)),
    }
    for table in results.queues:
        rho = f"{table.rho:g}"
        name = f"waits-{table.trace.split()[0].lower()}-{rho.replace('.', '')}"
        values = {policy: (score.of_oracle, score.max_s / 1000) for policy, score in table.by_policy.items()}
        title = f"{table.trace}, load {rho}"
        drawings[name] = partial(_waits, values=values, title=title)
    if results.shocks:
        drawings["shocks"] = partial(_shocks, shocks=results.shocks)
    return {name: png(drawing) for name, drawing in drawings.items()}


def write(plots: Mapping[str, bytes], folder: Path) -> None:
    """Write plots as files of their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in plots.items():
        (folder / f"{name}.png").write_bytes(data)


def alone(draw_on: Callable[[Axes], None]) -> Drawing:
    """Give the drawing of a figure with one pair of axes."""

    def drawing(figure: Figure) -> None:
        draw_on(figure.subplots())

    return drawing


def png(drawing: Drawing, size_in: tuple[float, float] = SIZE_IN) -> bytes:
    """Draw a figure as a PNG."""
    with mpl.rc_context({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=size_in, dpi=110, layout="constrained")
        drawing(figure)
        held = io.BytesIO()
        figure.savefig(held, format="png", metadata={"Software": None})
    return held.getvalue()


def _lines(axes: Axes, results: Results, prefix: str, style: str) -> None:
    for color, (name, curve) in zip(
        COLORS, ((n, c) for n, c in results.curves.items() if n.startswith(prefix)), strict=False
    ):
        axes.plot(curve.x, curve.y, style, color=color, label=name.removeprefix(prefix), linewidth=1.2)


def _precision(axes: Axes, results: Results) -> None:
    _lines(axes, results, "precision ", "-")
    axes.axhline(0.9, color="#bbbbbb", linewidth=0.8, linestyle=":")
    axes.set(xlabel="recall of FAIL", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02), title=results.judged)
    axes.legend(frameon=False)


def _calibration(axes: Axes, results: Results) -> None:
    axes.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=0.8)
    _lines(axes, results, "calibration ", "o-")
    axes.set(xlabel="predicted probability of FAIL", ylabel="share that failed", xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False)


def _slices(axes: Axes, results: Results) -> None:
    names = list(results.slice_jobs)
    shown = [name for name in results.failure if name not in {"constant", "hierarchical rate, decayed"}]
    _bars(axes, names, {name: [results.failure[name].slices[one] for one in names] for name in shown})
    axes.set(ylabel="PR-AUC of FAIL")


def _bars(axes: Axes, groups: Sequence[str], values: Mapping[str, Sequence[float]]) -> None:
    places = np.arange(len(groups))
    width = 0.8 / len(values)
    for number, (name, heights) in enumerate(values.items()):
        left = places + (number - (len(values) - 1) / 2) * width
        axes.bar(left, heights, width, label=name, color=COLORS[number])
    axes.set_xticks(places, groups)
    axes.legend(frameon=False)


def _shocks(figure: Figure, shocks: Sequence[ShockTable]) -> None:
    """Draw mean waits over time, one pair of axes for each thing that was new."""
    figure.set_size_inches(SIZE_IN[0], 1.9 * len(shocks))
    for axes, shock in zip(np.atleast_1d(figure.subplots(len(shocks), 1)), shocks, strict=True):
        for color, (name, curve) in zip(COLORS, shock.series.items(), strict=False):
            axes.plot(curve.x, curve.y, color=color, label=name, linewidth=1.0)
        axes.set_yscale("symlog", linthresh=10)
        axes.set(ylabel="mean wait, s", title=shock.name)
        axes.legend(frameon=False, fontsize=6)
    axes.set_xlabel("hours")


def _waits(figure: Figure, values: Mapping[str, tuple[float, float]], title: str) -> None:
    """Draw the mean and the longest wait of each order, the shipped ones in colour."""
    names = list(values)[::-1]
    colors = [COLORS[0] if name.startswith("shipped") else COLORS[5] for name in names]
    mean, longest = figure.subplots(1, 2, sharey=True)
    for axes, place, label in ((mean, 0, "mean wait / oracle's"), (longest, 1, "longest wait, 1,000 s")):
        axes.barh(names, [values[name][place] for name in names], color=colors)
        axes.set(xscale="log", xlabel=label)
        axes.bar_label(axes.containers[0], fmt="%.3g", fontsize=6, padding=2)
        axes.margins(x=0.2)
    mean.set_xlim(left=0.8)
    figure.suptitle(title, fontsize=9)
