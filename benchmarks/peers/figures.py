"""What one run of one peer found, and what several say together: pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from statistics import median

import msgspec

from benchmarks.latency import quantiles

PENSTOCK = "penstock"
"""What all others are compared with."""


class Workload(StrEnum):
    """What is asked of every peer."""

    THROUGHPUT = "throughput"
    """A backlog submitted at once, until the last job's final state can be read."""
    LATENCY = "latency"
    """An open load at a fixed rate."""


class Run(msgspec.Struct, frozen=True):
    """One workload on one peer, once."""

    peer: str
    workload: Workload
    round: int
    jobs: int
    load_1min: float
    """Of the machine, before: what else it did."""
    figures: dict[str, float]
    """Names end in their unit; see ``HIGHER_IS_BETTER``."""
    cpu_ms_by_process: dict[str, float]
    """A job; servers, workers and whoever submits and watches."""
    invalid: str = ""
    """Why the figures do not count; empty when they do."""


HIGHER_IS_BETTER = frozenset({"jobs_per_s", "submitted_per_s"})
"""All other figures, milliseconds, are better lower."""


class Spread(msgspec.Struct, frozen=True):
    """A figure over the valid runs."""

    median: float
    least: float
    most: float
    runs: int

    @property
    def share(self) -> float:
        """How far the runs lie apart, in terms of the median."""
        return (self.most - self.least) / self.median if self.median else math.inf


class Summary(msgspec.Struct, frozen=True):
    """One workload on one peer, over all valid runs."""

    peer: str
    workload: Workload
    figures: dict[str, Spread]
    to_penstock: dict[str, float]
    """The peer's figure in terms of Penstock's of the same round, median over the rounds that have both."""


def order(peers: Sequence[str], rounds: int) -> list[tuple[int, str]]:
    """Interleave: every peer once a round, each round begun by another and every second one backwards.

    So no peer always runs first, or always after the same neighbour.
    """
    count = len(peers)
    return [
        (number, peers[(number + (-place if number % 2 else place)) % count])
        for number in range(rounds)
        for place in range(count)
    ]


def spread(values: Sequence[float]) -> Spread:
    """Give median and extremes of at least one value."""
    return Spread(median(values), min(values), max(values), len(values))


def summaries(runs: Iterable[Run]) -> list[Summary]:
    """Put the valid runs of each peer and workload together, in the order they first appear."""
    groups: dict[tuple[str, Workload], list[Run]] = {}
    for run in runs:
        if not run.invalid:
            groups.setdefault((run.peer, run.workload), []).append(run)
    return [
        Summary(peer, workload, _spreads(group), _ratios(group, groups.get((PENSTOCK, workload), [])))
        for (peer, workload), group in groups.items()
    ]


def _spreads(group: Sequence[Run]) -> dict[str, Spread]:
    return {name: spread([run.figures[name] for run in group]) for name in group[0].figures}


def _ratios(group: Sequence[Run], penstock: Sequence[Run]) -> dict[str, float]:
    base = {run.round: run.figures for run in penstock}
    ratios: dict[str, list[float]] = {}
    for run in group:
        for name, value in run.figures.items():
            against = base.get(run.round, {}).get(name)
            if against:
                ratios.setdefault(name, []).append(value / against)
    return {name: round(median(values), 4) for name, values in ratios.items()}


def backlog_figures(jobs: int, submitted_s: float, elapsed_s: float, cpu_s: float) -> dict[str, float]:
    """Give the figures of a backlog; CPU is of all processes."""
    return {
        "jobs_per_s": round(jobs / elapsed_s, 1),
        "submitted_per_s": round(jobs / submitted_s, 1),
        "cpu_ms_per_job": round(cpu_s * 1000 / jobs, 4),
    }


def rate_figures(
    due_ms: Sequence[float], started_ms: Sequence[float], shown_ms: Sequence[float], cpu_s: float
) -> dict[str, float]:
    """Give the figures of an open load; all times by job, in the same order, milliseconds since 1970."""
    start = quantiles([at - due for due, at in zip(due_ms, started_ms, strict=True)])
    terminal = quantiles([at - due for due, at in zip(due_ms, shown_ms, strict=True)])
    return {
        "start_p50_ms": start.p50,
        "start_p99_ms": start.p99,
        "terminal_p50_ms": terminal.p50,
        "terminal_p99_ms": terminal.p99,
        "cpu_ms_per_job": round(cpu_s * 1000 / len(due_ms), 4),
    }


def not_once(jobs: range, starts_ms: Mapping[int, Sequence[float]]) -> str:
    """Say what is wrong with what ran: each job must have run exactly once; empty when it did."""
    never = sum(1 for number in jobs if not starts_ms.get(number))
    again = sum(1 for number in jobs if len(starts_ms.get(number, ())) > 1)
    wrong = [f"{never} never ran"] * bool(never) + [f"{again} ran more than once"] * bool(again)
    return f"of {len(jobs)} jobs {' and '.join(wrong)}" if wrong else ""
