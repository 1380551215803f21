"""What a long run costs: memory and CPU of every process, and what the broker keeps on its disk."""

import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from tests.chaos.history import boot_s
from tests.chaos.stack import Stack

EVERY_S = 10.0
SERIES_MAX = 60
"""Points of a series that are kept in a result; the file has all."""
MIB = 1 << 20
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Sample(msgspec.Struct, frozen=True):
    """One look; names are those of instances, ``workers`` are all of them together."""

    at_boot_s: float
    memory_mib: dict[str, float]
    """Resident, without what files or shared segments back."""
    cpu_s: dict[str, float]
    """User and system, ended children included; begins anew when a process does."""
    kafka_mib: float
    """Disk the broker's log takes."""


class Meter:
    """Looks from a thread of its own, and writes every look to a file."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._path = stack.directory / "meter.jsonl"
        self.samples: list[Sample] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meter", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        self._thread.join(EVERY_S)

    def _run(self) -> None:
        with self._path.open("ab", buffering=0) as file:
            while True:
                sample = look(self._stack)
                self.samples.append(sample)
                file.write(msgspec.json.encode(sample) + b"\n")
                if self._stopping.wait(EVERY_S):
                    return


def look(stack: Stack) -> Sample:
    """Take one look at everything."""
    children = _children()
    owners = {one.name: [one.process.pid] for one in stack.services.instances if one.wanted}
    executors = [one.process.pid for one in stack.services.of("executor")]
    owners["workers"] = [pid for executor in executors for pid in _tree(executor, children)[1:]]
    owners |= {f"broker-{one.node_id}": [one.pid] for one in stack.cluster.brokers}
    owners["postgres"] = _tree(stack.postgres.pid, children)
    owners["effects"] = _tree(stack.witness.pid, children)
    owners["driver"] = [os.getpid()]
    return Sample(
        boot_s(),
        {name: round(sum(map(private_bytes, pids)) / MIB, 1) for name, pids in owners.items()},
        {name: round(sum(map(cpu_s, pids)), 2) for name, pids in owners.items()},
        round(sum(disk_bytes(one.data) for one in stack.cluster.brokers) / MIB, 1),
    )


def _children() -> dict[int, list[int]]:
    """Give every process's children, in one pass over all there are."""
    found: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError):
                fields = Path(entry.path, "stat").read_text(errors="replace").rpartition(")")[2].split()
                found.setdefault(int(fields[1]), []).append(int(entry.name))
    return found


def _tree(pid: int, children: Mapping[int, list[int]]) -> list[int]:
    return [pid, *(below for child in children.get(pid, ()) for below in _tree(child, children))]


def private_bytes(pid: int) -> int:
    """Give the resident memory of a process that no file or shared segment backs; 0 when it is gone."""
    try:
        _, resident, shared = map(int, Path(f"/proc/{pid}/statm").read_text().split()[:3])
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return (resident - shared) * _PAGE


def cpu_s(pid: int) -> float:
    """Give what a process and its ended children have used; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS


def disk_bytes(directory: Path) -> int:
    """Give what the files below take on the disk: blocks, not lengths, as indexes are made in advance."""
    total = 0
    for file in directory.rglob("*"):
        with suppress(FileNotFoundError):
            total += file.stat().st_blocks * 512
    return total


def summary(samples: list[Sample]) -> dict[str, Any]:
    """Say how memory and disk went: of thirds of the run the medians, the largest, and a thinned series."""
    if not samples:
        return {}
    names = sorted({name for sample in samples for name in sample.memory_mib})
    memory: dict[str, list[float]] = {
        name: [one.memory_mib[name] for one in samples if one.memory_mib.get(name)] for name in names
    }
    return {
        "memory_mib": {name: _course(values) for name, values in memory.items() if values},
        "kafka_mib": _course([one.kafka_mib for one in samples]),
        "cpu_percent": _cpu_percent(samples),
    }


def _course(values: list[float]) -> dict[str, Any]:
    third = max(1, len(values) // 3)
    return {
        "first_third": round(median(values[:third]), 1),
        "last_third": round(median(values[-third:]), 1),
        "largest": max(values),
        "series": values[:: max(1, -(-len(values) // SERIES_MAX))],
    }


def _cpu_percent(samples: list[Sample]) -> dict[str, float]:
    """Give shares of one core; what a process used after its last look is not in them."""
    used: dict[str, float] = {}
    for before, after in pairwise(samples):
        for name, now_s in after.cpu_s.items():
            grown = now_s - before.cpu_s.get(name, 0.0)
            used[name] = used.get(name, 0.0) + (grown if grown >= 0 else now_s)
    seconds = samples[-1].at_boot_s - samples[0].at_boot_s
    return {name: round(100 * value / seconds, 1) for name, value in used.items()} if seconds else {}
