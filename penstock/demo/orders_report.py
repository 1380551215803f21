"""What the orders came to: a table for people, numbers for programs."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from penstock.demo.orders_plan import OrderResult

EXPLANATION = (
    "the same burst each time, more than the slots can do; in the last one what was cheap is dear, and the "
    "other way round"
)


def orders_table(results: Sequence[OrderResult]) -> RenderableType:
    """Draw the waits of each order, as ratios to order of arrival too."""
    table = Table(title="waits by order, seconds from ready to started", title_justify="left", box=None)
    for name in ("order", "mean", "of arrival", "p50", "p99", "max", "ordered by"):
        table.add_column(name, justify="left" if name in ("order", "ordered by") else "right")
    first_s = results[0].mean_s or 1e-9
    for one in results:
        table.add_row(
            one.what,
            f"{one.mean_s:.2f}",
            f"{one.mean_s / first_s:.2f}",
            f"{one.p50_s:.2f}",
            f"{one.p99_s:.2f}",
            f"{one.max_s:.2f}",
            ordered_by(one),
        )
    return Group(table, Text(EXPLANATION, style="dim"))


def ordered_by(one: OrderResult) -> str:
    """Say whose word ordered, most first."""
    total = sum(one.ordered_by.values()) or 1
    most_first = sorted(one.ordered_by.items(), key=lambda item: -item[1])
    names = {"rule": "rule", "ewma": "mean"}
    return ", ".join(f"{names.get(model, 'model')} {count / total:.0%}" for model, count in most_first)


def as_json(results: Sequence[OrderResult]) -> list[dict[str, Any]]:
    """Give what programs get."""
    return [asdict(one) for one in results]
