"""From recorded jobs to the vectors a scorer would have logged."""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adapters.learned.logged import Logged, of_rows
from adapters.learned.rows import NOT_ENDED, Rows
from adapters.recordings.columns import decoded
from adapters.recordings.jobs import COLUMNS, RecordedJobs
from core.learning.events import Ended, Event, Keys, Status, Submitted, keys_of
from core.learning.features import FEATURES, MISSING, JobFacts
from core.learning.fold import FeatureFold
from ports.models import Vectors

Say = Callable[[str], None]
SAID_EVERY = 50_000
"""Jobs between two lines about how far a replay is: a few seconds."""


class Coming(NamedTuple):
    """An end that is still to come in a replay."""

    at_ms: int
    job: int
    event: Event
    keys: Keys


def replayed(jobs: RecordedJobs, say: Say) -> Vectors:
    """Give the vector of each job at its submission: (n_jobs, n_features) float32.

    Events are taken in order of time, each decision before what happens at its own time.
    """
    fold = FeatureFold()
    coming: list[Coming] = []
    keys_by_name: dict[tuple[int, int, int], Keys] = {}
    vectors = np.empty((len(jobs), len(FEATURES)), np.float32)
    for job, (submitted_ms, _, ended_ms, run_ms, status, *rest) in rows_of(jobs):
        tenant, type_, name, priority, timeout_s, size = rest
        while coming and coming[0].at_ms < submitted_ms:
            ended = heapq.heappop(coming)
            fold.take(ended.event, ended.keys)
        label = (tenant, type_, name)
        keys = keys_by_name.get(label)
        if keys is None:
            keys = keys_by_name[label] = keys_of(*(str(number) if number else "" for number in label))
        facts = JobFacts(priority, size, timeout_s or MISSING)
        vectors[job] = fold.decide(keys, facts, submitted_ms)
        origin = str(job)
        fold.take(Submitted(submitted_ms, origin, 1, size), keys)
        if ended_ms != NOT_ENDED:
            end = Ended(ended_ms, origin, 1, run_ms, Status(status), submitted_ms)
            heapq.heappush(coming, Coming(ended_ms, job, end, keys))
        if job % SAID_EVERY == SAID_EVERY - 1:
            say(f"features of {job + 1} of {len(jobs)} jobs")
    return vectors


def rows_of(jobs: RecordedJobs) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield every job's place and its columns as Python integers, in the order of ``COLUMNS``."""
    lists = (getattr(jobs, name).tolist() for name in COLUMNS)
    yield from enumerate(zip(*lists, strict=True))


def training_rows(jobs: RecordedJobs, vectors: Vectors) -> Rows:
    """Give what a trainer would find of these jobs."""
    return Rows(
        vectors=vectors,
        decided_ms=jobs.submitted_ms,
        started_ms=np.where(jobs.started_ms == NOT_ENDED, jobs.submitted_ms, jobs.started_ms),
        ended_ms=jobs.ended_ms,
        run_ms=jobs.run_ms,
        status=jobs.status.astype(np.int8),
    )


def logged_from(path: Path, rows_max: int, say: Say) -> Logged:
    """Read a recording and replay it: what a database would hold of its newest jobs.

    Raises
    ------
    TraceFormatError
        It is no recording that can be read.
    """
    jobs = decoded(path).jobs
    say(f"{len(jobs)} jobs in {path.name}")
    # All are replayed, for what came before is history; the newest are kept.
    vectors = replayed(jobs, say)
    rows = training_rows(jobs, vectors)
    newest = slice(max(0, len(rows) - rows_max), None)
    kept = Rows(*(getattr(rows, column.name)[newest] for column in fields(rows)))
    return of_rows(kept, jobs.tenant[newest])
