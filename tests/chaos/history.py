"""What was done to the system and when: append-only JSON lines, fit to be read beside its logs."""

import os
import threading
import time
from pathlib import Path

import msgspec


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event. ``at_boot_s`` is CLOCK_BOOTTIME, which no clock fault moves; ``at_ms`` the wall clock."""

    at_boot_s: float
    at_ms: int
    event: str
    """``fault``, ``heal``, ``note``, ``phase``; of an operation ``invoke``, ``ok``, ``fail``, ``unknown``."""
    what: str
    detail: dict[str, str | int | float] = {}


class History:
    """Writes lines as they happen; safe for any number of threads, and keeps them for the checkers."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._lock = threading.Lock()
        self.lines: list[Line] = []

    def add(self, event: str, what: str, **detail: str | float) -> Line:
        """Append one line and give it."""
        line = Line(boot_s(), int(time.time() * 1000), event, what, dict(detail))
        with self._lock:
            self.lines.append(line)
            os.write(self._descriptor, msgspec.json.encode(line) + b"\n")
        return line

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def boot_s() -> float:
    """Seconds of the clock on which all processes of this machine agree, whatever happens to the time."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
