"""Memory of the processes of a pipeline, out of ``/proc`` (Linux)."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from benchmarks import cpu

_MIB_KB = 1024


def resident_mb(units: Mapping[int, str], proc: Path = cpu.PROC) -> dict[str, float]:
    """Give the resident MiB of each unit's own process, by name; shared pages count in full."""
    return {name: _mb(proc / str(pid) / "status", "VmRSS:") for pid, name in sorted(units.items())}


def proportional_mb(units: Mapping[int, str], proc: Path = cpu.PROC) -> dict[str, float]:
    """Give the MiB of each unit and its descendants; a page of several processes is divided among them."""
    found: dict[str, float] = defaultdict(float)
    for pid, name in cpu.names_of(units, proc).items():
        found[name] += _mb(proc / str(pid) / "smaps_rollup", "Pss:")
    return {name: round(mb, 1) for name, mb in sorted(found.items())}


def _mb(file: Path, field: str) -> float:
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    line = next((line for line in text.splitlines() if line.startswith(field)), None)
    # A process that is ending has no memory any more.
    return 0.0 if line is None else round(int(line.split()[1]) / _MIB_KB, 1)
