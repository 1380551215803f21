"""The results as tables on a terminal."""

from collections.abc import Iterator, Mapping
from statistics import median

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.results import (
    BatchCost,
    CostPoint,
    GatedThroughput,
    Idle,
    Latency,
    LogCost,
    Machine,
    Results,
    Scoring,
    StageCost,
    Stealing,
    Throughput,
    Waits,
    Wheel,
)
from benchmarks.scale.report import scale_tables
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
    for gated in results.gates:
        yield _gated(gated)
    if results.stealing is not None:
        yield _stealing(results.stealing)
    if results.scoring is not None:
        yield _scoring(results.scoring)
    yield from _planning(results)
    if results.wheel is not None:
        yield from _wheel(results.wheel)


def _planning(results: Results) -> Iterator[RenderableType]:
    """Draw what capacity is planned from."""
    if results.costs:
        yield _costs(results.costs)
    if results.batches:
        yield _batches(results.batches)
    if results.scale is not None:
        yield from scale_tables(results.scale)


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


def _costs(points: tuple[CostPoint, ...]) -> RenderableType:
    table = _table("partitions x instances", "payload", "attempts", "us a job", "log B", "table B", "WAL B")
    for one in points:
        table.add_row(
            f"{one.partitions} x {one.instances}",
            str(one.payload_bytes),
            str(one.attempts_per_job),
            f"{middle(one.rounds).total_us:.0f}",
            f"{sum(one.log_bytes_per_job.values()):.0f}",
            f"{sum(one.table_bytes_per_job.values()):.0f}",
            f"{one.wal_bytes_per_job:.0f}",
        )
    return _titled("What a job costs", table)


def _batches(costs: tuple[BatchCost, ...]) -> RenderableType:
    table = _table("batches", "append us", "broker us", "read us", "broker us")
    for one in costs:
        table.add_row(
            str(one.batches),
            f"{one.append_us:.0f}",
            f"{one.append_broker_us:.0f}",
            f"{one.read_us:.0f}",
            f"{one.read_broker_us:.0f}",
        )
    return _titled(f"CPU of a call of {costs[0].records} records", table)


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


def _gated(found: GatedThroughput) -> RenderableType:
    said = found.throughput
    title = (
        f"{said.jobs} ordered no-op jobs at once, {found.keys} keys: {said.jobs_per_s:.0f} jobs/s end to end"
    )
    table = _table("process", "CPU us a job")
    for name, spent_us in sorted(said.cpu_us_per_job.items(), key=lambda item: -item[1]):
        table.add_row(name, f"{spent_us:.0f}")
    table.add_row("all", f"{said.total_us:.0f}", style="bold")
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


def _scoring(found: Scoring) -> RenderableType:
    table = _table("scoring", "us of CPU a job", "of a calibration run")
    for cost in found.costs:
        table.add_row(cost.stage, f"{cost.us:.1f}", f"{cost.ratio:.3f}")
    one = found.one_ms
    said = Text(f"one job alone: p50 {one.p50:.2f} ms, p99 {one.p99:.2f} ms, max {one.max:.2f} ms")
    return _titled(f"by a model of full size, batches of {found.batch}", table, said)


def _wheel(found: Wheel) -> Iterator[RenderableType]:
    table = _table("no-op jobs", "alone", f"beside {found.waiting} waiting", "ratio")
    alone, beside = (median(one.jobs_per_s) for one in (found.alone, found.beside))
    table.add_row("jobs/s, a backlog", f"{alone:.0f}", f"{beside:.0f}", f"{beside / alone:.2f}")
    alone, beside = (median(one.cpu_us_per_job) for one in (found.alone, found.beside))
    table.add_row("CPU of a job, us", f"{alone:.0f}", f"{beside:.0f}", f"{beside / alone:.2f}")
    for step, times in found.alone.until.items():
        late = found.beside.until[step]
        for name, one, other in (("p50", times.p50, late.p50), ("p99", times.p99, late.p99)):
            ratio = f"{other / one:.2f}" if one else ""
            table.add_row(f"{step} {name}, ms", f"{one:.1f}", f"{other:.1f}", ratio)
    for name, before_mb in sorted(found.alone.resident_mb.items()):
        after_mb = found.beside.resident_mb.get(name, 0.0)
        table.add_row(f"{name}, MB", f"{before_mb:.0f}", f"{after_mb:.0f}", f"{after_mb / before_mb:.2f}")
    yield _titled(f"{found.waiting} jobs that wait, put there at {found.filled_per_s:.0f}/s", table)
    burst = found.burst
    late_table = _table("late by, ms", "p50", "p99", "max", "early")
    late_ms = burst.late_ms
    late_table.add_row(
        "let go", f"{late_ms.p50:.0f}", f"{late_ms.p99:.0f}", f"{late_ms.max:.0f}", str(burst.early)
    )
    title = (
        f"{burst.jobs} jobs due within {burst.span_s:g} s, submitted {burst.ahead_s:g} s ahead, "
        f"{burst.hops_a_job:g} hops a job"
    )
    yield _titled(title, late_table, Text(), _shares(burst.cpu_percent))
