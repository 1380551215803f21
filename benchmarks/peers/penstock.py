"""Penstock itself, measured by the same benchmarks as ``make bench``, with the peers' task and payload."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from benchmarks.latency import observe
from benchmarks.peers import effects
from benchmarks.peers.apps.effects import FOLDER_KEY, payload
from benchmarks.peers.figures import not_once, rate_figures
from benchmarks.peers.stand import Found, a_job
from benchmarks.pipeline import Pipeline, running
from benchmarks.tasks import NOOP
from benchmarks.throughput import measure_backlog
from penstock.client.submission import Job

FINAL_STATE = "Postgres: jobs.finished_at is set"
_APP = "benchmarks.peers.apps.penstock_app"
_SLOTS = 500
"""Of each of the two workers: docs/performance.md, "A backlog"."""


@dataclass
class PenstockStand:
    """A pipeline that waits for work; jobs are numbered on from one workload to the next."""

    pipeline: Pipeline
    effects: Path
    submitted: int = field(default=0)

    async def backlog(self, jobs: int) -> Found:
        """Submit so many at once and wait for the last row."""
        numbers = self._next(jobs)
        found = await measure_backlog(self.pipeline, [_job(number) for number in numbers])
        figures = {
            "jobs_per_s": found.jobs_per_s,
            "submitted_per_s": found.submitted_per_s,
            "cpu_ms_per_job": round(found.total_us / 1000, 4),
        }
        by_process = {name: round(us / 1000, 4) for name, us in found.cpu_us_per_job.items()}
        return Found(figures, by_process, not_once(numbers, effects.read(self.effects)))

    async def rate(self, per_s: float, seconds: float) -> Found:
        """Submit at a rate and give how long after its time each job came how far."""
        numbers = self._next(round(per_s * seconds))
        found = await observe(self.pipeline, per_s, seconds, lambda place: payload(numbers[place]))
        percent = found.latency.cpu_percent
        used_s = {name: share / 100 * found.elapsed_s for name, share in percent.items()}
        by_process = a_job(used_s, len(numbers))
        starts_ms = effects.read(self.effects)
        wrong = not_once(numbers, starts_ms)
        if wrong:
            return Found({}, by_process, wrong)
        figures = rate_figures(
            found.due_ms,
            [starts_ms[number][0] for number in numbers],
            found.shown_ms,
            sum(used_s.values()),
        )
        return Found(figures, by_process, "")

    def _next(self, jobs: int) -> range:
        numbers = range(self.submitted, self.submitted + jobs)
        self.submitted = numbers.stop
        return numbers


@asynccontextmanager
async def standing(data: Path) -> AsyncIterator[tuple[PenstockStand, dict[str, str]]]:
    """Run a pipeline for the length of the block; give it and its version. The data stay.

    Raises
    ------
    benchmarks.pipeline.BenchmarkError
        It could not be brought up.
    """
    noted = data / "effects"
    noted.mkdir(parents=True)
    settings = {"PENSTOCK_APP": _APP, "PENSTOCK_SLOTS": str(_SLOTS), FOLDER_KEY: str(noted)}
    async with running(data / "pipeline", settings=settings) as pipeline:
        yield PenstockStand(pipeline, noted), {"penstock": version("penstock")}


def _job(number: int) -> Job:
    return {"type": NOOP, "payload": payload(number)}
