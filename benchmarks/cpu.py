"""CPU of every process of a pipeline, out of ``/proc`` (Linux)."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from adapters.embedded.state import SupervisorState

PROC = Path("/proc")
WORKERS = "workers"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PPID, _UTIME, _CSTIME = 1, 11, 14
"""Fields of ``/proc/PID/stat``, counted after the command name, which may hold spaces itself."""


class _Process(NamedTuple):
    parent: int
    used_s: float
    """Own time and that of children that ended."""
    is_worker: bool


def units_of(state: SupervisorState) -> dict[int, str]:
    """Give the processes that others belong to: pid to name."""
    found = {unit.mark.pid: name for name, unit in state.units.items() if unit.mark is not None}
    if state.supervisor is not None:
        found[state.supervisor.pid] = "supervisor"
    return found


def used_s(units: Mapping[int, str], proc: Path = PROC) -> dict[str, float]:
    """Give the CPU seconds used so far by each unit and its descendants, since their start.

    A process counts for the nearest unit above it; worker processes count as ``workers``. Exact
    to a tick (10 ms) a process.
    """
    processes = _processes(proc)
    totals = dict.fromkeys(units.values(), 0.0)
    for pid, name in _named(processes, units):
        totals[name] = totals.get(name, 0.0) + processes[pid].used_s
    return totals


def names_of(units: Mapping[int, str], proc: Path = PROC) -> dict[int, str]:
    """Name every process that belongs to a unit, by pid, as ``used_s`` does."""
    return dict(_named(_processes(proc), units))


def difference(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Give what each used in between; 0 for one that ended and took its count along."""
    return {name: max(0.0, used - before.get(name, 0.0)) for name, used in after.items()}


def _named(processes: dict[int, _Process], units: Mapping[int, str]) -> Iterator[tuple[int, str]]:
    for pid, process in processes.items():
        owner = _owner(pid, processes, units)
        if owner is not None:
            yield pid, WORKERS if process.is_worker else owner


def _owner(pid: int, processes: Mapping[int, _Process], units: Mapping[int, str]) -> str | None:
    while pid in processes:
        if pid in units:
            return units[pid]
        pid = processes[pid].parent
    return None


def _processes(proc: Path) -> dict[int, _Process]:
    found = {}
    for entry in proc.iterdir():
        if entry.name.isdigit():
            process = _process(entry)
            if process is not None:
                found[int(entry.name)] = process
    return found


def _process(entry: Path) -> _Process | None:
    try:
        fields = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        command = (entry / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    ticks = sum(int(field) for field in fields[_UTIME : _CSTIME + 1])
    return _Process(int(fields[_PPID]), ticks / _TICKS_PER_S, b"penstock.worker\0" in command)
