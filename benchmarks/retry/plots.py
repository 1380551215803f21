"""Plots of results, as PNG."""

from functools import partial

from matplotlib.axes import Axes

from benchmarks.learning.plots import COLORS, alone, png
from benchmarks.retry.results import Results


def draw(results: Results) -> dict[str, bytes]:
    """Draw every plot: its name and its PNG."""
    return {
        "costs": png(alone(partial(_costs, results=results))),
        "tries": png(alone(partial(_tries, results=results))),
        "stopping": png(alone(partial(_stopping, results=results))),
        "by-day": png(alone(partial(_by_day, results=results))),
    }


def _costs(axes: Axes, results: Results) -> None:
    arms = results.timing.arms
    names = [name for name in arms if name != "oracle"][::-1]
    colors = [COLORS[0] if "DP" in name else COLORS[5] for name in names]
    bars = axes.barh(names, [arms[name].cost_s.value for name in names], color=colors)
    axes.bar_label(bars, fmt="%.0f", fontsize=6, padding=2)
    axes.set(xlabel="cost of an episode, s", title=results.timing.judged)
    axes.margins(x=0.15)


def _tries(axes: Axes, results: Results) -> None:
    for place, (name, one) in enumerate(results.timing.arms.items()):
        axes.plot(one.tries, one.recovered, "o", color=COLORS[place % len(COLORS)])
        axes.annotate(
            name, (one.tries, one.recovered), fontsize=6, xytext=(4, -8), textcoords="offset points"
        )
    axes.set(xlabel="tries an episode", ylabel="share of what recovers", ylim=(-0.05, 1.08))
    axes.margins(x=0.3)


def _stopping(axes: Axes, results: Results) -> None:
    stopping = results.stopping
    axes.plot(
        stopping.curve.x, stopping.curve.y, color=COLORS[0], label="XGBoost, by cost ratio", linewidth=1.2
    )
    for name, rule in stopping.rules.items():
        axes.plot(rule.kept.value, rule.hours.value, "o", color=COLORS[1 if "cap" in name else 0])
        place = (rule.kept.value, rule.hours.value)
        axes.annotate(name, place, fontsize=6, xytext=(-6, 4), textcoords="offset points", ha="right")
    axes.set(xlabel="successes kept", ylabel="failed machine-hours avoided", xlim=(0.9, 1.005), ylim=(0, 1))
    axes.set_title(stopping.judged)
    axes.legend(frameon=False, loc="lower left")


def _by_day(axes: Axes, results: Results) -> None:
    days = list(results.timing.costs_by_day)
    for color, name in zip(COLORS, [name for name in results.timing.arms if "DP" in name], strict=False):
        costs = [results.timing.costs_by_day[day][name] for day in days]
        axes.plot(days, costs, "o-", color=color, label=name, linewidth=1.2)
    axes.set(ylabel="cost of an episode, s", ylim=(0, None))
    axes.legend(frameon=False)
