"""The page of the retry lab: tables, and SVG by hand, for running needs no library that plots."""

import html
from collections.abc import Sequence
from math import log10

from core.retrying.lab import GLOBAL, HAZARD, LEARNED, TUNED, Comparison

WIDTH, ROW, LABEL = 640, 22, 150
"""Pixels: of a plot, of a bar, and of what is written before it."""
_COLORS = {TUNED: "#edae49", GLOBAL: "#66a182", HAZARD: "#7d5ba6", LEARNED: "#1b6ca8"}
_OTHER = "#6c757d"
_HEAD = ("policy", "cost", "recovered", "tries", "wasted", "p50 s", "p90 s", "")
_STYLE = (
    "body{font:14px/1.5 system-ui,sans-serif;max-width:60em;margin:2em;color:#222}"
    "td,th{padding:.1em .6em;text-align:right;border-bottom:1px solid #ddd}"
    "td:first-child,th:first-child{text-align:left}table{border-collapse:collapse}"
)
_WORDS = (
    "Cost of a failing job in seconds: delay after a try would have worked, wasted tries, and jobs given up. "
    "Bars are on a logarithmic scale."
)


def as_html(comparisons: Sequence[Comparison]) -> str:
    """Give one page that needs nothing beside it."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Retry lab</title>",
        f"<style>{_STYLE}</style><h1>Retry lab</h1>",
        f"<p>{_WORDS}</p>",
    ]
    for one in comparisons:
        title = f"{one.scenario}: {one.words}, {one.jobs} failing jobs, seed {one.seed}"
        parts += [f"<h2>{html.escape(title)}</h2>", _bars(one), _table(one)]
    return "\n".join([*parts, "</html>\n"])


def _bars(found: Comparison) -> str:
    costs = {name: one.score.cost for name, one in found.by_arm.items()}
    decades = max(1.0, log10(max(costs.values()) + 1))
    lines = [f'<svg width="{WIDTH}" height="{ROW * len(costs)}" role="img" aria-label="cost by policy">']
    for place, (name, cost) in enumerate(costs.items()):
        width = log10(cost + 1) / decades * (WIDTH - LABEL - 70)
        y = place * ROW
        color = _COLORS.get(name, _OTHER)
        lines += [
            f'<text x="{LABEL - 8}" y="{y + 15}" text-anchor="end" font-size="12">{html.escape(name)}</text>',
            f'<rect x="{LABEL}" y="{y + 3}" width="{width:.1f}" height="{ROW - 7}" fill="{color}"/>',
            f'<text x="{LABEL + width + 6:.1f}" y="{y + 15}" font-size="12">{cost:.0f}</text>',
        ]
    return "\n".join([*lines, "</svg>"])


def _table(found: Comparison) -> str:
    rows = [_HEAD]
    for name, one in found.by_arm.items():
        score = one.score
        rows.append(
            (
                name,
                f"{score.cost:.0f}",
                f"{score.recovered:.3f}",
                f"{score.tries:.2f}",
                f"{score.wasted:.2f}",
                f"{score.recover_p50_s:.0f}",
                f"{score.recover_p90_s:.0f}",
                one.is_what,
            )
        )
    lines = [
        "<tr>" + "".join(f"<{cell}>{html.escape(text)}</{cell}>" for text in row) + "</tr>"
        for row, cell in zip(rows, ["th", *["td"] * (len(rows) - 1)], strict=True)
    ]
    return "<table>" + "\n".join(lines) + "</table>"
