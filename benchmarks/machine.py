"""What the figures were measured on, and where its data stand meanwhile."""

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.results import Machine

ROOT = Path(__file__).resolve().parents[1]
BENCH = ROOT / "build" / "bench"


def this_machine() -> Machine:
    """Describe the machine, and how busy it was before the benchmarks began."""
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        processor=_processor(),
        kernel=platform.release(),
        python=platform.python_version(),
        commit=commit(),
        load_1min=round(os.getloadavg()[0], 2),
        measured_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def commit() -> str:
    """Give the commit of this tree, marked when tracked files differ from it; empty when unknown."""
    short = _git("rev-parse", "--short", "HEAD")
    return f"{short}+" if short and _git("status", "--porcelain", "--untracked-files=no") else short


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(("git", *arguments), cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def new_directory(name: str, within: Path = BENCH) -> Path:
    """Make a new directory whose name begins so."""
    within.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=within))


@contextmanager
def data_directory(name: str, given: Path | None = None) -> Iterator[Path]:
    """Give a new directory for the length of the block, or the one that was named, which stays."""
    data = new_directory(name) if given is None else given.resolve()
    try:
        yield data
    finally:
        if given is None:
            shutil.rmtree(data, ignore_errors=True)
