"""What a person sees while a demo runs: a live panel on a terminal, a line every few seconds elsewhere."""

from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from core.buckets import BUCKETS
from penstock.demo.table import Counts

WIDTH_MAX = 78
"""Fits a terminal of 80 columns."""
HELD_UP_NOTICE_S = 2.0
"""A batch waiting longer than this for the broker is worth a word."""
_STYLES = {
    "accepted": "cyan",
    "waiting": "cyan",
    "queued": "yellow",
    "running": "blue",
    "retrying": "magenta",
    "held": "magenta",
    "succeeded": "green",
    "dead": "red",
}


@dataclass(frozen=True)
class Snapshot:
    """Everything the view shows at one moment.

    Attributes
    ----------
    planned, submitted
        Submissions, repeats and malformed records included.
    jobs
        Jobs the run will have.
    per_s
        Jobs ended a second, over the last few seconds.
    slots_busy
        Attempts running, as the executors say; None when none answers.
    troubles
        What is away right now, in words.
    """

    elapsed_s: float
    planned: int
    submitted: int
    jobs: int
    counts: Counts = field(default_factory=Counts)
    per_s: float = 0.0
    slots_busy: int | None = None
    slots: int = 0
    troubles: tuple[str, ...] = ()


def panel(snapshot: Snapshot) -> RenderableType:
    """Draw the live view, at most ``WIDTH_MAX`` columns wide."""
    body = Group(
        _progress(snapshot),
        _states(snapshot.counts),
        _buckets(snapshot.counts),
        _numbers(snapshot),
        *[Text(f"! {trouble}", style="bold red") for trouble in snapshot.troubles],
    )
    title = f"penstock demo, {snapshot.elapsed_s:.0f} s"
    return Panel(body, title=title, width=WIDTH_MAX, border_style="dim")


def line(snapshot: Snapshot) -> str:
    """Say the same in one line, for a log file."""
    counts = snapshot.counts
    states = " ".join(f"{state}={count}" for state, count in sorted(counts.states.items()))
    parts = [
        f"{snapshot.elapsed_s:4.0f} s",
        f"sent {snapshot.submitted}/{snapshot.planned}",
        f"ended {counts.terminal}/{snapshot.jobs}",
        f"{snapshot.per_s:.0f}/s",
        f"wait p50 {_duration(counts.wait_p50_s)} p99 {_duration(counts.wait_p99_s)}",
        f"retries {counts.retries}",
        states,
        *snapshot.troubles,
    ]
    return " | ".join(part for part in parts if part)


def _progress(snapshot: Snapshot) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    for label, done, total in (
        ("sent", snapshot.submitted, snapshot.planned),
        ("ended", snapshot.counts.terminal, snapshot.jobs),
    ):
        bar = ProgressBar(total=max(1, total), completed=done, width=40)
        grid.add_row(f"{label:<6}", bar, f"{done:>6} of {total}")
    return grid


def _states(counts: Counts) -> RenderableType:
    text = Text("states ", style="bold")
    for state, count in sorted(counts.states.items(), key=lambda item: -item[1]):
        text.append(f" {state} ", style=_STYLES.get(state, "white")).append(str(count), style="default")
    return text


def _buckets(counts: Counts) -> RenderableType:
    text = Text("queued by bucket ", style="bold")
    most = max([*counts.buckets.values(), 1])
    for bucket in range(BUCKETS):
        count = counts.buckets.get(bucket, 0)
        level = "▁▂▃▄▅▆▇█"[min(7, count * 7 // most)] if count else "·"
        text.append(f" b{bucket}", style="dim").append(level, style="yellow")
        text.append(str(count) if count else "", style="default")
    return text


def _numbers(snapshot: Snapshot) -> RenderableType:
    counts = snapshot.counts
    busy = "?" if snapshot.slots_busy is None else str(snapshot.slots_busy)
    grid = Table.grid(padding=(0, 2))
    grid.add_row(
        f"{snapshot.per_s:.0f} jobs/s",
        f"wait p50 {_duration(counts.wait_p50_s)}, p99 {_duration(counts.wait_p99_s)}",
        f"retries {counts.retries}",
        f"slots {busy}/{snapshot.slots}",
    )
    return grid


def _duration(seconds: float | None) -> str:
    match seconds:
        case None:
            return "-"
        case _ if seconds < 1:
            return f"{seconds * 1000:.0f} ms"
        case _:
            return f"{seconds:.1f} s"
