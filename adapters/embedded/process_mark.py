"""Naming a process so that a reused pid is never mistaken for it (Linux: ``/proc``)."""

import ctypes
import os
import signal
from pathlib import Path

import msgspec

_PR_SET_CHILD_SUBREAPER = 36
_PPID, _START_TICKS = 1, 19
"""Fields of ``/proc/PID/stat``, counted after the command name, which may hold spaces itself."""


class ProcessMark(msgspec.Struct, frozen=True):
    """A pid with the moment it was started and the boot it belongs to: unique for ever."""

    pid: int
    start_ticks: int
    boot_id: str


def mark_of(pid: int) -> ProcessMark | None:
    """Mark a running process; None when there is none, or only its unreaped remains."""
    fields = _stat(pid)
    if fields is None or fields[0] in ("Z", "X"):
        return None
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ProcessMark(pid, int(fields[_START_TICKS]), boot_id)


def is_running(mark: ProcessMark) -> bool:
    """Tell whether exactly this process still runs."""
    return mark_of(mark.pid) == mark


def signal_marked(mark: ProcessMark, signum: signal.Signals) -> bool:
    """Signal exactly this process; False when it is gone."""
    if not is_running(mark):
        return False
    try:
        os.kill(mark.pid, signum)
    except ProcessLookupError:
        return False
    return True


def kill_group(group: int) -> None:
    """Kill what is left of a process group; nothing happens when nothing is left."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def children_of(parent: int) -> set[int]:
    """Give the pids whose parent this is, unreaped ones included."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields is not None and int(fields[_PPID]) == parent:
                found.add(int(entry.name))
    return found


def become_subreaper() -> None:
    """Let orphaned descendants of this process become its children instead of init's."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()
