"""The report: one HTML file with everything in it, and the same tables for a terminal or a document."""

import base64
import html
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.learning.results import Interval, Results

Row = Sequence[str]
_STYLE = """
body{font:14px/1.5 system-ui,sans-serif;max-width:72em;margin:2em;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}
td,th{padding:.2em .7em;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child{text-align:left}.missed{color:#b00020;font-weight:600}img{max-width:49%}
"""


def tables(results: Results) -> Iterator[tuple[str, list[Row]]]:
    """Yield every table: its title, and its rows, the first of which are the headings."""
    yield "Bars", _bars(results)
    yield f"FAIL at submission, {results.judged}", _failure(results)
    yield "PR-AUC of FAIL by slice", _slices(results)
    yield "Run time", _run(results)
    for table in results.queues:
        title = f"Waits: {table.trace}, load {table.rho:g}, {table.slots} slots, {table.jobs} jobs"
        head = ["order", "mean s", "of oracle", "slowdown", "p99 s", "max s", "of shipped on EWMA"]
        rows = [
            [
                name,
                f"{one.mean_s:.0f}",
                f"{one.of_oracle:.3f}",
                f"{one.slowdown:.2f}",
                f"{one.p99_s:.0f}",
                f"{one.max_s:.0f}",
                f"{one.of_ewma:.3f}",
            ]
            for name, one in table.by_policy.items()
        ]
        yield title, [head, *rows]
    yield "By day", _by_day(results)
    for name, cases in results.worst.items():
        rows = [[f"{c.tenant}", f"{c.type}", f"{c.expected:g}", f"{c.happened:g}"] for c in cases]
        yield f"Worst cases: {name}", [["tenant", "type", "expected s", "ran s"], *rows]


def _bars(results: Results) -> list[Row]:
    head = ["what", "value", "bar", "met"]
    return [head, *([b.metric, f"{b.value:.4g}", b.bar, "yes" if b.met else "MISSED"] for b in results.bars)]


def _failure(results: Results) -> list[Row]:
    head = [
        "predictor",
        "PR-AUC",
        "gain",
        "AUC",
        "log loss",
        "ECE",
        "recall at p .9",
        "at p .8",
        "good/1,000",
    ]
    rows = [
        [
            name,
            _interval(one.pr_auc),
            _interval(one.gain) if one.gain else "",
            f"{one.auc:.3f}",
            f"{one.log_loss:.4f}",
            f"{one.ece:.4f}",
            f"{one.recall_at_90:.2f}",
            f"{one.recall_at_80:.2f}",
            f"{one.diverted_good_per_1000:.2f}",
        ]
        for name, one in results.failure.items()
    ]
    return [head, *rows]


def _slices(results: Results) -> list[Row]:
    names = list(results.slice_jobs)
    counts = [f"{results.slice_failures[name]} of {results.slice_jobs[name]}" for name in names]
    rows = [[name, *(f"{one.slices[key]:.3f}" for key in names)] for name, one in results.failure.items()]
    return [["predictor", *names], ["failed of jobs", *counts], *rows]


def _run(results: Results) -> list[Row]:
    head = [
        "predictor",
        "Spearman",
        "within 2x",
        "MAE log",
        "cold types",
        "after OK",
        "after FAIL",
        "after KILL",
    ]
    rows = [
        [
            name,
            _interval(one.spearman),
            f"{one.within_2x:.3f}",
            f"{one.mae_log:.3f}",
            f"{one.cold_spearman:.3f}",
            *(f"{one.slices[key]:.3f}" for key in ("after OK", "after FAIL", "after KILL")),
        ]
        for name, one in results.run.items()
    ]
    return [head, *rows]


def _by_day(results: Results) -> list[Row]:
    names = list(next(iter(results.by_day.values()), {}))
    rows = [[day, *(f"{values[name]:.4g}" for name in names)] for day, values in results.by_day.items()]
    return [["day", *names], *rows]


def _interval(figure: Interval) -> str:
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def as_markdown(results: Results) -> str:
    """Give all tables for a document."""
    parts: list[str] = []
    for title, rows in tables(results):
        lines = [f"| {' | '.join(row)} |" for row in rows]
        lines.insert(1, "|---" * len(rows[0]) + "|")
        parts.append(f"### {title}\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _said(results: Results) -> str:
    return (
        f"{results.data}; judged on {results.judged}, {results.jobs_judged} jobs; trained on "
        f"{results.jobs_trained}. Commit {results.commit or 'unknown'}, data {results.data_hash[:16]}, "
        f"model {results.model_hash[:16]}, seed {results.seed}."
    )


def as_html(results: Results, plots: Mapping[str, bytes]) -> str:
    """Give one page that needs nothing beside it."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>What is learned</title>",
        f"<style>{_STYLE}</style><h1>What is learned, judged</h1>",
        f"<p>{html.escape(_said(results))}</p>",
    ]
    for name, data in plots.items():
        encoded = base64.b64encode(data).decode()
        parts.append(f'<img alt="{html.escape(name)}" src="data:image/png;base64,{encoded}">')
    for title, rows in tables(results):
        parts.append(f"<h2>{html.escape(title)}</h2><table>")
        for number, row in enumerate(rows):
            cell = "td" if number else "th"
            missed = ' class="missed"' if row[-1] == "MISSED" else ""
            cells = "".join(f"<{cell}>{html.escape(text)}</{cell}>" for text in row)
            parts.append(f"<tr{missed}>{cells}</tr>")
        parts.append("</table>")
    return "\n".join([*parts, "</html>\n"])
