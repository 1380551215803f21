"""The report of retry policies: tables for a page, a document, or a terminal."""

from collections.abc import Iterator, Mapping

from benchmarks.learning.results import Interval
from benchmarks.pages import MISSED, Row, Titled, figure, html_page, markdown
from benchmarks.retry.results import Results


def tables(results: Results) -> Iterator[Titled]:
    """Yield every table."""
    head = ["what", "value", "bar", "met"]
    bars = [[b.metric, f"{b.value:.4g}", b.bar, "yes" if b.met else MISSED] for b in results.bars]
    yield "Bars", [head, *bars]
    yield f"Whether the next try works, {results.stopping.judged}", _chances(results)
    yield "Stopping", _rules(results)
    yield f"When to try again, {results.timing.judged}", _arms(results)
    yield "Cost by day, s", _by_day(results)


def _chances(results: Results) -> list[Row]:
    rows = [
        [name, f"{one.auc:.3f}", f"{one.pr_auc:.3f}", f"{one.log_loss:.3f}"]
        for name, one in results.stopping.chances.items()
    ]
    return [["predictor", "AUC", "PR-AUC", "log loss"], *rows]


def _rules(results: Results) -> list[Row]:
    head = ["rule", "successes kept", "failed retries avoided", "failed machine-hours avoided"]
    rows = [
        [name, _figure(one.kept), f"{one.avoided:.3f}", _figure(one.hours)]
        for name, one in results.stopping.rules.items()
    ]
    return [head, *rows]


def _arms(results: Results) -> list[Row]:
    head = ["arm", "cost s", "recovered", "tries", "wasted / recovered", "delay s"]
    rows = [
        [
            name,
            _figure(one.cost_s, 0),
            f"{one.recovered:.3f}",
            f"{one.tries:.2f}",
            "" if one.wasted_a_recovery is None else f"{one.wasted_a_recovery:.1f}",
            "" if one.delay_s is None else f"{one.delay_s:.0f}",
        ]
        for name, one in results.timing.arms.items()
    ]
    return [head, *rows]


def _by_day(results: Results) -> list[Row]:
    names = list(results.timing.arms)
    rows = [[day, *(f"{of[name]:.0f}" for name in names)] for day, of in results.timing.costs_by_day.items()]
    return [["day", *names], *rows]


def _figure(of: Interval, digits: int = 3) -> str:
    return figure(of.value, of.low, of.high, digits)


def said(results: Results) -> str:
    """Say in a few sentences what was judged."""
    stopping, timing = results.stopping, results.timing
    chances = "recalibrated chances" if stopping.is_recalibrated else "chances as they are"
    return (
        f"{results.data}. Stopping: {stopping.retries} retries that ended by themselves, of "
        f"{stopping.jobs} jobs, {stopping.judged}; a lost success is worth {stopping.lost_s:.0f} s of a "
        f"machine, on {chances}, as chosen on earlier stretches. Timing: {timing.episodes} episodes, "
        f"{timing.recoverable} of which recover within a day, {timing.judged}; trained on "
        f"{timing.trained_on} moments. Commit {results.commit or 'unknown'}, data {results.data_hash[:16]}, "
        f"models {results.model_hash[:16]}, seed {results.seed}."
    )


def as_markdown(results: Results) -> str:
    """Give all tables for a document."""
    return markdown(tables(results))


def as_html(results: Results, plots: Mapping[str, bytes]) -> str:
    """Give one page that needs nothing beside it."""
    return html_page("Retries, judged on recordings", said(results), plots, tables(results))
