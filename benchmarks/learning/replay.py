"""From recorded jobs to the vectors a scorer would have logged."""

import hashlib
import heapq
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adapters.learned.training import NOT_ENDED, Rows
from benchmarks.learning.jobs import COLUMNS, RecordedJobs
from benchmarks.machine import ROOT
from core.learning.events import Ended, Event, Keys, Status, Submitted, keys_of
from core.learning.features import FEATURES, MISSING, JobFacts
from core.learning.fold import FeatureFold
from ports.models import Vectors

Say = Callable[[str], None]
SAID_EVERY = 50_000


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


def replayed_once(jobs: RecordedJobs, kept: Path, say: Say) -> Vectors:
    """Give the same as ``replayed``, or what an earlier run of the same code made of the same jobs."""
    store = kept / f"vectors-{_fingerprint(jobs)}.npy"
    if not store.exists():
        vectors = replayed(jobs, say)
        kept.mkdir(parents=True, exist_ok=True)
        np.save(store, vectors)
    found: Vectors = np.load(store)
    return found


def _fingerprint(jobs: RecordedJobs) -> str:
    """Name the jobs and the code that makes vectors of them."""
    seen = hashlib.sha256()
    for name in COLUMNS:
        seen.update(np.ascontiguousarray(getattr(jobs, name)).tobytes())
    for path in sorted((ROOT / "core" / "learning").glob("*.py")):
        if path.stem in {"events", "seconds", "aggregates", "features", "fold"}:
            seen.update(path.read_bytes())
    return seen.hexdigest()[:16]


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
