"""What a run came to: one JSON object for programs, a summary with next steps for people."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from core.states import TERMINAL
from penstock.demo.checks import Finding, dead_letters, duplicate_runs
from penstock.demo.evidence import Evidence, JobRow
from penstock.demo.plan import Ending

VIOLATIONS_SHOWN = 10
DEAD_SHOWN = 8
DEAD_IN_JSON = 1000
"""Dead letters named in the JSON object; the counts above them are always whole."""
_MESSAGE_CHARS = 60


class Report(NamedTuple):
    """The figures of one run; times in milliseconds, None when there was nothing to measure.

    ``wait`` is ready until started of each job's latest dispatch; ``end_to_end`` is submitted until
    terminal, run times and retries included.
    """

    submitted: int
    succeeded: int
    dead: int
    rejected: int
    repeated: int
    duplicate_runs: int
    table_equals_log: bool
    wait_p50_ms: int | None
    wait_p99_ms: int | None
    end_to_end_p50_ms: int | None
    end_to_end_p99_ms: int | None
    jobs_per_second: float
    seconds: float
    verified: bool


def report_of(evidence: Evidence, findings: Sequence[Finding]) -> Report:
    """Make the figures."""
    rows = [row for job_id, row in evidence.rows.items() if job_id in evidence.jobs]
    ended = [row for row in rows if row.state in TERMINAL]
    states = Counter(row.state for row in rows)
    ours = {place for places in evidence.found.values() for place in places}
    waits = _sorted_spans((row.ready_ms, row.started_ms) for row in rows)
    ends = _sorted_spans((row.submitted_ms, row.finished_ms) for row in ended)
    seconds = _seconds(ended)
    return Report(
        submitted=len(evidence.jobs),
        succeeded=states[Ending.SUCCEEDED],
        dead=states[Ending.DEAD],
        rejected=len(evidence.rejected.keys() & ours),
        repeated=sum(job.records - 1 for job in evidence.jobs.values() if job.keyed),
        duplicate_runs=duplicate_runs(evidence),
        table_equals_log=evidence.table_differences is not None and not evidence.table_differences,
        wait_p50_ms=percentile(waits, 0.5),
        wait_p99_ms=percentile(waits, 0.99),
        end_to_end_p50_ms=percentile(ends, 0.5),
        end_to_end_p99_ms=percentile(ends, 0.99),
        jobs_per_second=round(len(ended) / seconds, 1) if seconds else 0.0,
        seconds=round(seconds, 1),
        verified=all(finding.holds for finding in findings),
    )


def percentile(ordered: Sequence[int], share: float) -> int | None:
    """Give the nearest-rank percentile of ascending values; None when there are none."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _sorted_spans(pairs: Any) -> list[int]:
    spans = (end - start for start, end in pairs if start is not None and end is not None)
    return sorted(span for span in spans if span >= 0)


def _seconds(ended: Sequence[JobRow]) -> float:
    starts = [row.submitted_ms for row in ended if row.submitted_ms is not None]
    ends = [row.finished_ms for row in ended if row.finished_ms is not None]
    return (max(ends) - min(starts)) / 1000 if starts and ends else 0.0


def as_json(report: Report, evidence: Evidence, findings: Sequence[Finding]) -> dict[str, Any]:
    """Give the object that ``--json`` prints: the figures, what was violated, and who is dead of what."""
    dead = dead_letters(evidence)[:DEAD_IN_JSON]
    return report._asdict() | {
        "violations": {
            finding.check: list(finding.violations[:VIOLATIONS_SHOWN])
            for finding in findings
            if not finding.holds
        },
        "dead_letters": [
            {"job_id": row.job_id, "type": row.type, "class": row.error_class, "message": row.error_message}
            for row in dead
        ],
    }


def summary(
    report: Report, evidence: Evidence, findings: Sequence[Finding], next_steps: Sequence[str]
) -> RenderableType:
    """Draw the closing summary, readable at 80 columns."""
    parts: list[RenderableType] = [_checks(findings), Text(), _figures(report)]
    dead = dead_letters(evidence)
    if dead:
        parts += [Text(), _dead(dead)]
    verdict = (
        Text("Verification held.", style="bold green")
        if report.verified
        else Text("Verification FAILED.", style="bold red")
    )
    # A command broken over two lines cannot be copied.
    steps = Text(
        "\n".join(["Try next:", *(f"  {step}" for step in next_steps)]), no_wrap=True, overflow="ignore"
    )
    return Group(*parts, Text(), verdict, Text(), steps)


def _checks(findings: Sequence[Finding]) -> RenderableType:
    lines = Table.grid(padding=(0, 1))
    for finding in findings:
        mark = "[green]✓[/]" if finding.holds else "[bold red]✗[/]"
        lines.add_row(mark, escape(finding.check))
        for violation in finding.violations[:VIOLATIONS_SHOWN]:
            lines.add_row("", f"[red]{escape(violation)}[/]")
        more = len(finding.violations) - VIOLATIONS_SHOWN
        if more > 0:
            lines.add_row("", f"[red]and {more} more[/]")
    return lines


def _figures(report: Report) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    wait = f"p50 {_ms(report.wait_p50_ms)}, p99 {_ms(report.wait_p99_ms)}"
    end_to_end = f"p50 {_ms(report.end_to_end_p50_ms)}, p99 {_ms(report.end_to_end_p99_ms)}"
    grid.add_row("jobs", f"{report.submitted}: {report.succeeded} succeeded, {report.dead} dead")
    grid.add_row("besides", f"{report.rejected} records rejected, {report.repeated} repeats of a key")
    grid.add_row("wait", f"{wait}  (ready until started)")
    grid.add_row("end to end", f"{end_to_end}  (submitted until terminal)")
    grid.add_row("rate", f"{report.jobs_per_second:g} jobs/s over {report.seconds:g} s")
    return grid


def _dead(dead: Sequence[JobRow]) -> RenderableType:
    causes = Counter((row.error_class or "?", _short(row.error_message)) for row in dead)
    grid = Table.grid(padding=(0, 2))
    grid.add_row("dead letters", "class", "reason")
    for (error_class, message), count in causes.most_common(DEAD_SHOWN):
        grid.add_row(f"{count:>12}", escape(error_class), escape(message))
    more = len(causes) - DEAD_SHOWN
    if more > 0:
        grid.add_row("", "", f"and {more} other reasons")
    return grid


def _short(message: str | None) -> str:
    text = " ".join((message or "no reason given").split())
    return text if len(text) <= _MESSAGE_CHARS else f"{text[: _MESSAGE_CHARS - 1]}…"


def _ms(value: int | None) -> str:
    match value:
        case None:
            return "-"
        case _ if value < 1000:
            return f"{value} ms"
        case _:
            return f"{value / 1000:.1f} s"
