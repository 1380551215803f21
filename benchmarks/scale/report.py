"""The simulation's results as tables."""

from collections.abc import Iterator, Sequence

from benchmarks.pages import Row, Titled
from benchmarks.results import Scale, SimCheck, SimLeaving, SimPoint


def scale_tables(scale: Scale) -> Iterator[Titled]:
    """Yield everything the simulation says."""
    yield "Simulated and measured", _checks(scale.checks)
    yield "Ever more load", _points(scale.rates)
    yield "Ever more partitions", _points(scale.partitions)
    law = f"contention {scale.contention:.4f}, coherency {scale.coherency:.2g}"
    yield f"More load than it can do, ever more instances: {law}", _points(scale.sizes)
    yield _leaving(scale.leaving)


def _checks(found: Sequence[SimCheck]) -> list[Row]:
    rows: list[Row] = [["what", "measured", "simulated", "error"]]
    for one in found:
        figures = (f"{one.measured:g}", f"{one.simulated:g}", f"{100 * one.error:+.0f} %")
        rows.append([f"{one.what}, {one.unit}", *figures])
    return rows


def _points(points: Sequence[SimPoint]) -> list[Row]:
    rows: list[Row] = [
        ["jobs/s", "partitions", "instances", "rows/s", "started p50, p99 ms", "row p50, p99", "busiest"]
    ]
    for one in points:
        started, row = (one.until_ms.get(step) for step in ("started", "terminal row"))
        rows.append(
            [
                f"{one.per_s:,.0f}",
                str(one.partitions),
                str(one.instances),
                f"{one.jobs_per_s:,.0f}",
                "-" if started is None else f"{started[0]:.0f}, {started[1]:.0f}",
                "-" if row is None else f"{row[0]:.0f}, {row[1]:.0f}",
                f"{one.busiest} {one.busy[one.busiest]:.2f}",
            ]
        )
    return rows


def _leaving(left: SimLeaving) -> Titled:
    head = ["jobs without a row before", "at worst", "as before after, s"]
    recovered = "not while watched" if left.recovered_s is None else f"{left.recovered_s:g}"
    figures = [str(left.waiting_before), str(left.waiting_most), recovered]
    return f"A {left.service} that dies, found out after {left.session_s:g} s", [head, figures]
