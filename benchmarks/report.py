"""The results as tables, for a terminal and for a page."""

from collections.abc import Iterator, Mapping
from statistics import median

from benchmarks.pages import Row, Titled
from benchmarks.results import (
    BatchCost,
    CostPoint,
    GatedThroughput,
    GrowthPoint,
    HandlerCost,
    Idle,
    Latency,
    LogCost,
    Machine,
    Results,
    Scoring,
    StageCost,
    Stealing,
    TableCost,
    Throughput,
    Waits,
    Wheel,
)
from benchmarks.scale.report import scale_tables
from benchmarks.throughput import middle


def heading(machine: Machine) -> str:
    """Say in a line what was measured on."""
    return (
        f"{machine.cores} cores, {machine.processor}, kernel {machine.kernel}, Python {machine.python}, "
        f"commit {machine.commit or 'unknown'}, load before {machine.load_1min}"
    )


def tables(results: Results) -> Iterator[Titled]:
    """Yield everything that was measured."""
    if results.stages:
        yield _stages(results.stages)
    if results.log:
        yield _log(results.log)
    if results.table:
        yield _table(results.table)
    if results.handlers:
        yield _handlers(results.handlers)
    if results.idle is not None:
        yield _idle(results.idle)
    for latency in results.latency:
        yield from _latency(latency)
    yield from _backlogs(results)
    if results.stealing is not None:
        yield from _stealing(results.stealing)
    if results.scoring is not None:
        yield from _scoring(results.scoring)
    yield from _planning(results)
    if results.wheel is not None:
        yield from _wheel(results.wheel)


def _backlogs(results: Results) -> Iterator[Titled]:
    if results.throughput:
        yield _throughput(results.throughput, "by submit_many")
    if results.records:
        yield _throughput(results.records, "as records of a producer of its own")
    if results.growth:
        yield _growth(results.growth)
    for gated in results.gates:
        yield _gated(gated)


def _planning(results: Results) -> Iterator[Titled]:
    """Yield what capacity is planned from."""
    if results.costs:
        yield _costs(results.costs)
    if results.batches:
        yield _batches(results.batches)
    if results.scale is not None:
        yield from scale_tables(results.scale)


def _stages(stages: tuple[StageCost, ...]) -> Titled:
    rows = [[cost.stage, f"{cost.us:.2f}", f"{cost.ratio:.4f}"] for cost in stages]
    return "Stages alone, CPU", [["stage", "us a job", "calibration loops"], *rows]


def _costs(points: tuple[CostPoint, ...]) -> Titled:
    head = ["partitions x instances", "payload", "attempts", "us a job", "log B", "table B", "WAL B"]
    rows = [
        [
            f"{one.partitions} x {one.instances}",
            str(one.payload_bytes),
            str(one.attempts_per_job),
            f"{middle(one.rounds).total_us:.0f}",
            f"{sum(one.log_bytes_per_job.values()):.0f}",
            f"{sum(one.table_bytes_per_job.values()):.0f}",
            f"{one.wal_bytes_per_job:.0f}",
        ]
        for one in points
    ]
    return "What a job costs", [head, *rows]


def _batches(costs: tuple[BatchCost, ...]) -> Titled:
    rows: list[Row] = [["batches", "append us", "broker us", "read us", "broker us"]]
    for one in costs:
        spent = (one.append_us, one.append_broker_us, one.read_us, one.read_broker_us)
        rows.append([str(one.batches), *(f"{us:.0f}" for us in spent)])
    return f"CPU of a call of {costs[0].records} records", rows


def _log(costs: tuple[LogCost, ...]) -> Titled:
    rows = [[one.what, f"{one.cpu_us:.1f}", f"{one.elapsed_us:.1f}", f"{one.ratio:.4f}"] for one in costs]
    return "Clients of the broker", [["work", "CPU us a record", "elapsed us", "calibration loops"], *rows]


def _table(costs: tuple[TableCost, ...]) -> Titled:
    rows: list[Row] = [["a job that ended", "CPU us", "Postgres us", "elapsed us", "calibration loops"]]
    for one in costs:
        spent = (one.cpu_us, one.database_us, one.elapsed_us)
        rows.append([one.what, *(f"{us:.1f}" for us in spent), f"{one.ratio:.4f}"])
    return "Rows written by COPY and merge", rows


def _handlers(costs: tuple[HandlerCost, ...]) -> Titled:
    head = ["task", "added ms p50", "p99", "CPU us a job, the task's included"]
    rows = [
        [one.task, f"{one.added_ms.p50:.2f}", f"{one.added_ms.p99:.2f}", f"{one.cpu_us:.0f}"] for one in costs
    ]
    return "Tasks in a worker process, one at a time; CPU in batches", [head, *rows]


def _idle(idle: Idle) -> Titled:
    rows: list[Row] = [["process", "CPU, % of a core", "memory, MB"]]
    for name, share in sorted(idle.cpu_percent.items(), key=lambda item: -item[1]):
        rows.append([name, f"{share:.1f}", f"{idle.memory_mb.get(name, 0.0):.0f}"])
    percent, mb = sum(idle.cpu_percent.values()), sum(idle.memory_mb.values())
    return f"Idle for {idle.seconds:.0f} s", [*rows, ["all", f"{percent:.1f}", f"{mb:.0f}"]]


def _shares(title: str, percent: Mapping[str, float]) -> Titled:
    shares = sorted(percent.items(), key=lambda item: -item[1])
    rows = [[name, f"{share:.1f}"] for name, share in shares]
    return title, [["process", "CPU, % of a core"], *rows, ["all", f"{sum(percent.values()):.1f}"]]


def _latency(latency: Latency) -> Iterator[Titled]:
    rows: list[Row] = [["until", "p50", "p99", "p99.9", "max"]]
    for step, times in latency.until.items():
        found = (times.p50, times.p99, times.p999, times.max)
        rows.append([step, *(f"{ms:.1f}" for ms in found)])
    yield f"{latency.jobs} no-op jobs at {latency.per_s:g}/s, ms from the moment each was due", rows
    yield _shares(f"Meanwhile, at {latency.per_s:g}/s", latency.cpu_percent)


def _by_process(found: Throughput) -> list[Row]:
    total_us = found.total_us
    rows: list[Row] = [["process", "CPU us a job", "%"]]
    for name, spent_us in sorted(found.cpu_us_per_job.items(), key=lambda item: -item[1]):
        rows.append([name, f"{spent_us:.0f}", f"{spent_us / total_us * 100:.0f}"])
    return [*rows, ["all", f"{total_us:.0f}", "100"]]


def _throughput(rounds: tuple[Throughput, ...], how: str) -> Titled:
    found = middle(rounds)
    speeds = ", ".join(f"{one.jobs_per_s:.0f}" for one in rounds)
    title = (
        f"{found.jobs} no-op jobs at once {how}: {found.jobs_per_s:.0f} jobs/s end to end"
        f" (rounds: {speeds}; submitted at {found.submitted_per_s:.0f}/s)"
    )
    return title, _by_process(found)


def _growth(points: tuple[GrowthPoint, ...]) -> Titled:
    rows: list[Row] = [["beside", "jobs/s", "CPU us a job", "CPU, to the first"]]
    first: dict[str, float] = {}
    for one in points:
        found = middle(one.rounds)
        base_us = first.setdefault(one.what, found.total_us)
        figures = (f"{found.jobs_per_s:.0f}", f"{found.total_us:.0f}", f"{found.total_us / base_us:.2f}")
        rows.append([f"{one.size:,} {one.what}", *figures])
    return f"{points[0].rounds[0].jobs} no-op jobs at once beside ever more", rows


def _gated(found: GatedThroughput) -> Titled:
    said = found.throughput
    title = (
        f"{said.jobs} ordered no-op jobs at once, {found.keys} keys: {said.jobs_per_s:.0f} jobs/s end to end"
    )
    return title, _by_process(said)


def _stealing(found: Stealing) -> Iterator[Titled]:
    rows: list[Row] = [["wait, s", "mean", "p50", "p95", "p99", "max", "of one queue"]]
    claims: list[Row] = [["claims", "CPU, % of a core", "count"]]
    for run in found.runs:
        named: list[tuple[str, Waits]] = [
            (f"measured, stealing {run.steal}", run.measured),
            ("simulated, one queue", run.shared),
            ("the same, taken from the claim", run.shared_occupied),
            ("simulated, islands", run.islands),
        ]
        for name, waits in named:
            cells = (waits.mean, waits.p50, waits.p95, waits.p99, waits.max)
            ratio = waits.mean / run.shared.mean if run.shared.mean else 0.0
            rows.append([name, *(f"{value:.2f}" for value in cells), f"{ratio:.2f}"])
        counts = ", ".join(f"{what} {count}" for what, count in run.claims.items())
        claims.append([f"stealing {run.steal}", f"{run.cpu_percent:.0f}", counts])
    yield (
        (
            f"{found.runs[0].jobs} heavy-tailed jobs of {found.mean_run_s:g} s, load {found.load:g} of "
            f"{found.executors} x {found.slots} slots, {found.partitions} partitions"
        ),
        rows,
    )
    yield "Claims meanwhile", claims


def _scoring(found: Scoring) -> Iterator[Titled]:
    rows = [[cost.stage, f"{cost.us:.1f}", f"{cost.ratio:.3f}"] for cost in found.costs]
    head = ["scoring", "us of CPU a job", "of a calibration run"]
    yield f"By a model of full size, batches of {found.batch}", [head, *rows]
    one = found.one_ms
    times = (one.p50, one.p99, one.p999, one.max)
    yield "One job alone, ms", [["p50", "p99", "p99.9", "max"], [f"{ms:.2f}" for ms in times]]


def _wheel(found: Wheel) -> Iterator[Titled]:
    rows: list[Row] = [["no-op jobs", "alone", f"beside {found.waiting} waiting", "ratio"]]
    alone, beside = (median(one.jobs_per_s) for one in (found.alone, found.beside))
    rows.append(["jobs/s, a backlog", f"{alone:.0f}", f"{beside:.0f}", f"{beside / alone:.2f}"])
    alone, beside = (median(one.cpu_us_per_job) for one in (found.alone, found.beside))
    rows.append(["CPU of a job, us", f"{alone:.0f}", f"{beside:.0f}", f"{beside / alone:.2f}"])
    for step, times in found.alone.until.items():
        late = found.beside.until[step]
        for name, one, other in (("p50", times.p50, late.p50), ("p99", times.p99, late.p99)):
            ratio = f"{other / one:.2f}" if one else ""
            rows.append([f"{step} {name}, ms", f"{one:.1f}", f"{other:.1f}", ratio])
    for name, before_mb in sorted(found.alone.resident_mb.items()):
        after_mb = found.beside.resident_mb.get(name, 0.0)
        ratio = f"{after_mb / before_mb:.2f}" if before_mb else ""
        rows.append([f"{name}, MB", f"{before_mb:.0f}", f"{after_mb:.0f}", ratio])
    yield f"{found.waiting} jobs that wait, put there at {found.filled_per_s:.0f}/s", rows
    burst = found.burst
    late_ms = burst.late_ms
    cells = [f"{late_ms.p50:.0f}", f"{late_ms.p99:.0f}", f"{late_ms.max:.0f}", str(burst.early)]
    title = (
        f"{burst.jobs} jobs due within {burst.span_s:g} s, submitted {burst.ahead_s:g} s ahead, "
        f"{burst.hops_a_job:g} hops a job"
    )
    yield title, [["late by, ms", "p50", "p99", "max", "early"], ["let go", *cells]]
    yield _shares("From the last submit to the last release", burst.cpu_percent)
