"""The results as tables on a terminal."""

from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.results import (
    Idle,
    Latency,
    LogCost,
    Machine,
    Results,
    StageCost,
    Stealing,
    Throughput,
    Waits,
)
from benchmarks.throughput import middle


def tables(results: Results) -> Iterator[RenderableType]:
    """Draw everything that was measured."""
    yield _heading(results.machine)
    if results.stages:
        yield _stages(results.stages)
    if results.log:
        yield _log(results.log)
    if results.idle is not None:
        yield _idle(results.idle)
    for latency in results.latency:
        yield _latency(latency)
    if results.throughput:
        yield _throughput(results.throughput)
    if results.stealing is not None:
        yield _stealing(results.stealing)


def _heading(machine: Machine) -> str:
    return (
        f"{machine.cores} cores, {machine.processor}, kernel {machine.kernel}, Python {machine.python}, "
        f"commit {machine.commit or 'unknown'}, load before {machine.load_1min}"
    )


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def _titled(title: str, *bodies: RenderableType) -> RenderableType:
    """Put a line above: a table's own title would be wrapped to the table's width."""
    return Group(Text(title, style="bold"), *bodies)


def _stages(stages: tuple[StageCost, ...]) -> RenderableType:
    table = _table("stage", "us a job", "calibration loops")
    for cost in stages:
        table.add_row(cost.stage, f"{cost.us:.2f}", f"{cost.ratio:.4f}")
    return _titled("Stages alone, CPU", table)


def _log(costs: tuple[LogCost, ...]) -> RenderableType:
    table = _table("work", "CPU us a record", "elapsed us", "calibration loops")
    for cost in costs:
        table.add_row(cost.what, f"{cost.cpu_us:.1f}", f"{cost.elapsed_us:.1f}", f"{cost.ratio:.4f}")
    return _titled("Clients of the broker", table)


def _idle(idle: Idle) -> RenderableType:
    return _titled(f"Idle for {idle.seconds:.0f} s", _shares(idle.cpu_percent))


def _shares(percent: Mapping[str, float]) -> Table:
    table = _table("process", "CPU, % of a core")
    for name, share in sorted(percent.items(), key=lambda item: -item[1]):
        table.add_row(name, f"{share:.1f}")
    table.add_row("all", f"{sum(percent.values()):.1f}", style="bold")
    return table


def _latency(latency: Latency) -> RenderableType:
    table = _table("until", "p50", "p99", "max")
    for step, times in latency.until.items():
        table.add_row(step, f"{times.p50:.1f}", f"{times.p99:.1f}", f"{times.max:.1f}")
    title = f"{latency.jobs} no-op jobs at {latency.per_s:g}/s, ms from the moment each was due"
    return _titled(title, table, Text(), _shares(latency.cpu_percent))


def _throughput(rounds: tuple[Throughput, ...]) -> RenderableType:
    found = middle(rounds)
    speeds = ", ".join(f"{one.jobs_per_s:.0f}" for one in rounds)
    title = (
        f"{found.jobs} no-op jobs at once: {found.jobs_per_s:.0f} jobs/s end to end"
        f" (rounds: {speeds}; submitted at {found.submitted_per_s:.0f}/s)"
    )
    table = _table("process", "CPU us a job", "%")
    total_us = found.total_us
    for name, spent_us in sorted(found.cpu_us_per_job.items(), key=lambda item: -item[1]):
        table.add_row(name, f"{spent_us:.0f}", f"{spent_us / total_us * 100:.0f}")
    table.add_row("all", f"{total_us:.0f}", "100", style="bold")
    return _titled(title, table)


def _stealing(found: Stealing) -> RenderableType:
    table = _table("wait, s", "mean", "p50", "p95", "p99", "max", "of one queue")
    claims: list[Text] = []
    for run in found.runs:
        rows: list[tuple[str, Waits]] = [
            (f"measured, stealing {run.steal}", run.measured),
            ("  simulated, one queue", run.shared),
            ("  the same, taken from the claim", run.shared_occupied),
            ("  simulated, islands", run.islands),
        ]
        for name, waits in rows:
            cells = (waits.mean, waits.p50, waits.p95, waits.p99, waits.max)
            ratio = waits.mean / run.shared.mean if run.shared.mean else 0.0
            table.add_row(name, *(f"{value:.2f}" for value in cells), f"{ratio:.2f}")
        counts = ", ".join(f"{what} {count}" for what, count in run.claims.items())
        claims.append(Text(f"stealing {run.steal}: CPU {run.cpu_percent:.0f} % of a core; claims: {counts}"))
    title = (
        f"{found.runs[0].jobs} heavy-tailed jobs of {found.mean_run_s:g} s, load {found.load:g} of "
        f"{found.executors} x {found.slots} slots, {found.partitions} partitions"
    )
    return _titled(title, table, *claims)
