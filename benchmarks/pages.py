"""Reports: one HTML file with everything in it, and the same tables for a document."""

import base64
import html
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

Row = Sequence[str]
Titled = tuple[str, list[Row]]
"""A table: its title, and its rows, the first of which are the headings."""
MISSED = "MISSED"
"""The last cell of a row about a bar that is not met."""
_STYLE = """
body{font:14px/1.5 system-ui,sans-serif;max-width:72em;margin:2em;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}
td,th{padding:.2em .7em;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child{text-align:left}.missed{color:#b00020;font-weight:600}img{max-width:49%}
"""


def on_terminal(titled: Titled) -> RenderableType:
    """Draw one table for a terminal; the title stands above, not wrapped to the table's width."""
    title, rows = titled
    table = Table(box=None, pad_edge=False)
    for number, column in enumerate(rows[0]):
        table.add_column(column, justify="right" if number else "left")
    for row in rows[1:]:
        table.add_row(*row, style="bold" if row[0] == "all" else None)
    return Group(Text(title, style="bold"), table)


def markdown(tables: Iterable[Titled]) -> str:
    """Give all tables for a document."""
    parts: list[str] = []
    for title, rows in tables:
        lines = [f"| {' | '.join(row)} |" for row in rows]
        lines.insert(1, "|---" * len(rows[0]) + "|")
        parts.append(f"### {title}\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def html_page(title: str, said: str, plots: Mapping[str, bytes], tables: Iterable[Titled]) -> str:
    """Give one page that needs nothing beside it; plots are PNG."""
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>",
        f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1>",
        f"<p>{html.escape(said)}</p>",
    ]
    for name, data in plots.items():
        encoded = base64.b64encode(data).decode()
        parts.append(f'<img alt="{html.escape(name)}" src="data:image/png;base64,{encoded}">')
    for heading, rows in tables:
        parts.append(f"<h2>{html.escape(heading)}</h2><table>")
        for number, row in enumerate(rows):
            cell = "td" if number else "th"
            missed = ' class="missed"' if row[-1] == MISSED else ""
            cells = "".join(f"<{cell}>{html.escape(text)}</{cell}>" for text in row)
            parts.append(f"<tr{missed}>{cells}</tr>")
        parts.append("</table>")
    return "\n".join([*parts, "</html>\n"])


def figure(value: float, low: float | None, high: float | None, digits: int = 3) -> str:
    """Write a figure, and its interval where it has one."""
    if low is None or high is None:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
