"""The report: one HTML file with everything in it, and the same tables for a terminal or a document."""

from collections.abc import Iterator, Mapping

from benchmarks.learning.results import Interval, Results, ShockTable
from benchmarks.pages import MISSED, Row, Titled, figure, html_page, markdown


def tables(results: Results) -> Iterator[Titled]:
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
    for shock in results.shocks:
        yield f"{shock.name.capitalize()}: {shock.words}", _shock(shock)
    yield "By day", _by_day(results)
    for name, cases in results.worst.items():
        rows = [[f"{c.tenant}", f"{c.type}", f"{c.expected:g}", f"{c.happened:g}"] for c in cases]
        yield f"Worst cases: {name}", [["tenant", "type", "expected s", "ran s"], *rows]


def _bars(results: Results) -> list[Row]:
    head = ["what", "value", "bar", "met"]
    return [head, *([b.metric, f"{b.value:.4g}", b.bar, "yes" if b.met else MISSED] for b in results.bars)]


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


def _shock(shock: ShockTable) -> list[Row]:
    head = [f"{shock.jobs} jobs, {shock.slots} slots", "mean s", "of oracle", "p99 s", "max s"]
    rows = [
        [
            name,
            f"{one.mean_s:.0f}",
            f"{one.of_oracle:.3f}",
            f"{one.p99_s:.0f}",
            f"{one.max_s:.0f}",
            f"{one.marked_s:.0f}",
        ]
        for name, one in shock.by_policy.items()
    ]
    found = [[what, f"{value:.4g}", "", "", "", ""] for what, value in shock.found.items()]
    return [[*head, f"mean s of {shock.marked} marked"], *rows, *found]


def _interval(of: Interval) -> str:
    return figure(of.value, of.low, of.high)


def as_markdown(results: Results) -> str:
    """Give all tables for a document."""
    return markdown(tables(results))


def _said(results: Results) -> str:
    return (
        f"{results.data}; judged on {results.judged}, {results.jobs_judged} jobs; trained on "
        f"{results.jobs_trained}. Commit {results.commit or 'unknown'}, data {results.data_hash[:16]}, "
        f"model {results.model_hash[:16]}, seed {results.seed}."
    )


def as_html(results: Results, plots: Mapping[str, bytes]) -> str:
    """Give one page that needs nothing beside it."""
    return html_page("What is learned, judged", _said(results), plots, tables(results))
