"""A comparison as tables on a terminal."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.peers.figures import Summary, Workload
from benchmarks.peers.results import Comparison

_COLUMNS = {
    Workload.THROUGHPUT: (
        ("jobs_per_s", "jobs/s"),
        ("submitted_per_s", "submitted/s"),
        ("cpu_ms_per_job", "CPU ms a job"),
    ),
    Workload.LATENCY: (
        ("start_p50_ms", "start p50"),
        ("start_p99_ms", "p99"),
        ("terminal_p50_ms", "final p50"),
        ("terminal_p99_ms", "p99"),
        ("cpu_ms_per_job", "CPU ms a job"),
    ),
}
_TITLES = {
    Workload.THROUGHPUT: "A backlog of {jobs} jobs at once, end to end",
    Workload.LATENCY: "{per_s:g} jobs/s for {seconds:g} s, milliseconds from the moment a job was due",
}


def tables(comparison: Comparison) -> Iterator[RenderableType]:
    """Draw everything that was measured, and what was not."""
    machine = comparison.machine
    yield (
        f"{machine.cores} cores, {machine.processor}, kernel {machine.kernel}, Python {machine.python}, "
        f"commit {machine.commit or 'unknown'}, load before {machine.load_1min}"
    )
    for workload in Workload:
        chosen = [one for one in comparison.summaries if one.workload is workload]
        if chosen:
            title = _TITLES[workload].format(
                jobs=comparison.asked.jobs, per_s=comparison.asked.per_s, seconds=comparison.asked.seconds
            )
            yield Group(Text(title, style="bold"), _table(workload, chosen))
    yield from _states(comparison)
    for run in comparison.runs:
        if run.invalid:
            first = run.invalid.splitlines()[0]
            yield Text(f"INVALID: {run.peer}, {run.workload}, round {run.round + 1}: {first}", style="red")
    for skipped in comparison.skipped:
        yield Text(f"SKIPPED: {skipped.peer}: {skipped.reason}; {skipped.remedy}", style="yellow")


def _table(workload: Workload, chosen: Sequence[Summary]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("peer", no_wrap=True)
    columns = _COLUMNS[workload]
    for _, title in columns:
        table.add_column(title, justify="right")
    table.add_column("spread", justify="right")
    table.add_column("runs", justify="right")
    for one in chosen:
        cells = [_cell(one, name) for name, _ in columns]
        main = one.figures[columns[0][0]]
        table.add_row(one.peer, *cells, f"{main.share * 100:.0f} %", str(main.runs))
    return table


def _cell(one: Summary, name: str) -> str:
    """Show a median, and in terms of Penstock's where both ran."""
    value, ratio = one.figures[name].median, one.to_penstock.get(name)
    shown = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return shown if ratio is None else f"{shown} ({ratio:.2g}x)"


def _states(comparison: Comparison) -> Iterator[RenderableType]:
    table = Table(box=None, pad_edge=False)
    for column in ("peer", "final state", "versions"):
        table.add_column(column)
    for one in comparison.measured:
        versions = ", ".join(f"{name} {found}" for name, found in one.versions.items())
        table.add_row(one.peer, one.final_state, versions)
    if comparison.measured:
        yield Group(Text("Who keeps what", style="bold"), table)
