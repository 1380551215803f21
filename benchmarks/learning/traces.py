"""Where recordings are. What is read is kept decoded under ``build/``."""

import hashlib
from pathlib import Path

import numpy as np

from adapters.recordings.columns import Recording, decoded
from adapters.recordings.jobs import COLUMNS, RecordedJobs
from benchmarks.machine import ROOT

GOOGLE = "google2011_jobs_d00_20.csv.xz"
SDSC = "SDSC-SP2-1998-4.2-cln.swf.gz"


def find(folder: str | None) -> Path | None:
    """Give the folder of recordings: as said, else ``shared/traces`` beside the checkout; None if absent."""
    wanted = Path(folder) if folder else ROOT.parent / "shared" / "traces"
    if folder and not (wanted / GOOGLE).exists():
        raise FileNotFoundError(f"TRACES={folder}: there is no {GOOGLE}; name the folder that holds it")
    return wanted if (wanted / GOOGLE).exists() else None


def sha256_of(path: Path) -> str:
    """Give the hash of a file's bytes, hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def decoded_once(path: Path, kept: Path) -> RecordedJobs:
    """Decode a file, or load what an earlier run decoded of the same bytes."""
    store = kept / f"jobs-{sha256_of(path)[:16]}.npz"
    if not store.exists():
        found = decoded(path)
        kept.mkdir(parents=True, exist_ok=True)
        np.savez(store, table=found.table, zero_ms=found.zero_ms, limit_ms=found.limit_ms)
    with np.load(store) as parts:
        return Recording(parts["table"], int(parts["zero_ms"]), int(parts["limit_ms"])).jobs


def hash_of(jobs: RecordedJobs) -> str:
    """Give a hash over all columns, hex."""
    seen = hashlib.sha256()
    for name in COLUMNS:
        seen.update(np.ascontiguousarray(getattr(jobs, name)).tobytes())
    return seen.hexdigest()
