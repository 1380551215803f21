"""Vectors of recorded jobs, kept between runs."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from adapters.recordings.jobs import COLUMNS, RecordedJobs
from adapters.recordings.replay import Say, replayed
from benchmarks.machine import ROOT
from ports.models import Vectors

MAKERS = (
    ROOT / "core" / "feature.py",
    *(ROOT / "core" / "learning" / f"{name}.py" for name in ("aggregates", "events", "features", "fold")),
    ROOT / "core" / "learning" / "seconds.py",
    ROOT / "adapters" / "recordings" / "replay.py",
)
"""The code that makes vectors of jobs."""


def replayed_once(jobs: RecordedJobs, kept: Path, say: Say) -> Vectors:
    """Give the same as ``replayed``, or what an earlier run of the same code made of the same jobs."""
    store = kept / f"vectors-{fingerprint(jobs, MAKERS)}.npy"
    if not store.exists():
        vectors = replayed(jobs, say)
        kept.mkdir(parents=True, exist_ok=True)
        np.save(store, vectors)
    found: Vectors = np.load(store)
    return found


def fingerprint(jobs: RecordedJobs, makers: Sequence[Path]) -> str:
    """Name the jobs and the code that makes vectors of them; other bytes of either give another name."""
    seen = hashlib.sha256()
    for name in COLUMNS:
        seen.update(np.ascontiguousarray(getattr(jobs, name)).tobytes())
    for path in makers:
        seen.update(path.read_bytes())
    return seen.hexdigest()[:16]
