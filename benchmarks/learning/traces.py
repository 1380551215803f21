"""Where recordings are, and how they become columns. What is read is kept decoded under ``build/``."""

import gzip
import hashlib
import lzma
from collections.abc import Callable, Iterator
from operator import itemgetter
from pathlib import Path

import numpy as np

from adapters.learned.training import NOT_ENDED
from benchmarks.learning.jobs import COLUMNS, Integers, RecordedJobs
from benchmarks.machine import ROOT
from core.learning.events import Status

GOOGLE = "google2011_jobs_d00_20.csv.xz"
SDSC = "SDSC-SP2-1998-4.2-cln.swf.gz"
GOOGLE_ZERO_MS = 1_304_290_200_000
"""600 s before Sunday 2011-05-01 19:00 US/Eastern, which the documentation of the trace gives for 600 s."""
GOOGLE_LIMIT_MS = 2 * 3_600_000
SDSC_LIMIT_MS = 7 * 86_400_000
"""Longer than any run of that log: nothing is cut off."""
_GOOGLE_ENDS = {
    "FINISH": Status.OK,
    "FAIL": Status.FAILED,
    "KILL": Status.CANCELLED,
    "EVICT": Status.LOST,
    "LOST": Status.LOST,
    "": Status.LOST,
}
Row = tuple[int, ...]
_SWF_ENDS = {1: Status.OK, 0: Status.FAILED, 5: Status.FAILED}
"""5 is cancelled by the format; the log of SDSC-SP2 says so of whatever did not complete."""
_SWF_SUBMIT, _SWF_WAIT, _SWF_RUN, _SWF_PROCESSORS, _SWF_ASKED_S = 1, 2, 3, 7, 8
_SWF_STATUS, _SWF_USER, _SWF_QUEUE = 10, 11, 14


def find(folder: str | None) -> Path | None:
    """Give the folder of recordings: as said, else ``shared/traces`` beside the checkout; None if absent."""
    wanted = Path(folder) if folder else ROOT.parent / "shared" / "traces"
    if folder and not (wanted / GOOGLE).exists():
        raise FileNotFoundError(f"TRACES={folder}: there is no {GOOGLE}; name the folder that holds it")
    return wanted if (wanted / GOOGLE).exists() else None


def sha256_of(path: Path) -> str:
    """Give the hash of a file's bytes, hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_google(path: Path, kept: Path) -> RecordedJobs:
    """Read jobs of the Google cluster trace of 2011."""
    return _decoded(path, kept, GOOGLE_ZERO_MS, GOOGLE_LIMIT_MS, _google_rows)


def read_sdsc(path: Path, kept: Path) -> RecordedJobs:
    """Read a log in the Standard Workload Format.

    A job's type is what it asked for (processors and time), so (tenant, type) is the finest key of such logs.
    """
    return _decoded(path, kept, _swf_zero_ms(path), SDSC_LIMIT_MS, _swf_rows)


def _decoded(
    path: Path, kept: Path, zero_ms: int, limit_ms: int, rows_of: Callable[[Path], Iterator[Row]]
) -> RecordedJobs:
    """Decode a file, or load what an earlier run decoded of the same bytes."""
    store = kept / f"jobs-{sha256_of(path)[:16]}-{limit_ms}.npy"
    if store.exists():
        table = np.load(store)
    else:
        table = np.array(sorted(rows_of(path), key=itemgetter(0)), dtype=np.int64).T
        kept.mkdir(parents=True, exist_ok=True)
        np.save(store, table)
    return of_table(table, zero_ms, limit_ms)


def of_table(table: Integers, zero_ms: int, limit_ms: int) -> RecordedJobs:
    """Make jobs of a table (n_columns, n_jobs) with times from zero; blank times are ``NOT_ENDED``."""
    columns = dict(zip(COLUMNS, table, strict=True))
    for name in ("submitted_ms", "started_ms", "ended_ms"):
        times = columns[name]
        columns[name] = np.where(times == NOT_ENDED, NOT_ENDED, times + zero_ms)
    ended = columns["ended_ms"] != NOT_ENDED
    columns["run_ms"] = np.where(ended, np.minimum(columns["run_ms"], limit_ms), limit_ms)
    return RecordedJobs(zero_ms, limit_ms, **columns)


def _google_rows(path: Path) -> Iterator[Row]:
    with lzma.open(path, "rt", encoding="ascii") as lines:
        next(lines)
        for line in lines:
            _, submit, started, end, how, tenant, type_, name, priority = line.rstrip("\n").split(",")
            start_ms = int(started) if started else NOT_ENDED
            end_ms = int(end) if end else NOT_ENDED
            run_ms = end_ms - start_ms if end and started else 0
            status = _GOOGLE_ENDS[how]
            # Numbers begin at 1: 0 stands for a job without a name.
            labels = (int(tenant) + 1, int(type_) + 1, int(name) + 1)
            yield (int(submit), start_ms, end_ms, run_ms, status, *labels, int(priority), 0, 0)


def _swf_zero_ms(path: Path) -> int:
    with gzip.open(path, "rt", encoding="latin-1") as lines:
        for line in lines:
            if line.startswith("; UnixStartTime:"):
                return int(line.split(":")[1]) * 1000
    raise ValueError(f"{path.name}: no line 'UnixStartTime', so it is no log in the Standard Workload Format")


def _swf_rows(path: Path) -> Iterator[Row]:
    types: dict[tuple[int, int], int] = {}
    with gzip.open(path, "rt", encoding="latin-1") as lines:
        for line in lines:
            if line.startswith(";"):
                continue
            values = [int(float(word)) for word in line.split()]
            if values[_SWF_RUN] < 0:
                continue
            submit_ms = values[_SWF_SUBMIT] * 1000
            start_ms = submit_ms + max(0, values[_SWF_WAIT]) * 1000
            run_ms = values[_SWF_RUN] * 1000
            asked = (values[_SWF_PROCESSORS], values[_SWF_ASKED_S])
            type_ = types.setdefault(asked, len(types) + 1)
            status = _SWF_ENDS.get(values[_SWF_STATUS], Status.LOST)
            facts = (values[_SWF_QUEUE], max(0, asked[1]), max(0, asked[0]))
            yield (
                submit_ms,
                start_ms,
                start_ms + run_ms,
                run_ms,
                status,
                values[_SWF_USER] + 1,
                type_,
                0,
                *facts,
            )


def hash_of(jobs: RecordedJobs) -> str:
    """Give a hash over all columns, hex."""
    seen = hashlib.sha256()
    for name in COLUMNS:
        seen.update(np.ascontiguousarray(getattr(jobs, name)).tobytes())
    return seen.hexdigest()
