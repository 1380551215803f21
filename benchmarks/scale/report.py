"""The simulation's results as tables on a terminal."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.results import Scale, SimCheck, SimPoint


def scale_tables(scale: Scale) -> Iterator[RenderableType]:
    """Draw everything the simulation says."""
    yield _titled("Simulated and measured", _checks(scale.checks))
    yield _titled("Ever more load", _points(scale.rates))
    yield _titled("Ever more partitions", _points(scale.partitions))
    law = f"contention {scale.contention:.4f}, coherency {scale.coherency:.2g}"
    yield _titled(f"More load than it can do, ever more instances: {law}", _points(scale.sizes))
    left = scale.leaving
    yield (
        f"a {left.service} that dies, found out after {left.session_s:g} s: {left.waiting_before} jobs "
        f"without a row before, {left.waiting_most} at worst, as before after {left.recovered_s} s"
    )


def _titled(title: str, body: RenderableType) -> RenderableType:
    return Group(Text(title, style="bold"), body)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def _checks(found: Sequence[SimCheck]) -> Table:
    table = _table("what", "measured", "simulated", "error")
    for one in found:
        table.add_row(
            f"{one.what}, {one.unit}", f"{one.measured:g}", f"{one.simulated:g}", f"{100 * one.error:+.0f} %"
        )
    return table


def _points(points: Sequence[SimPoint]) -> Table:
    table = _table(
        "jobs/s", "partitions", "instances", "rows/s", "started p50, p99 ms", "row p50, p99", "busiest"
    )
    for one in points:
        started, row = (one.until_ms.get(step) for step in ("started", "terminal row"))
        table.add_row(
            f"{one.per_s:,.0f}",
            str(one.partitions),
            str(one.instances),
            f"{one.jobs_per_s:,.0f}",
            "-" if started is None else f"{started[0]:.0f}, {started[1]:.0f}",
            "-" if row is None else f"{row[0]:.0f}, {row[1]:.0f}",
            f"{one.busiest} {one.busy[one.busiest]:.2f}",
        )
    return table
