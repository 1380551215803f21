"""Log files of supervised processes: appended to directly, bounded in size."""

import os
import shutil
from pathlib import Path

LOG_MAX_BYTES = 10_000_000
"""One file; with the kept predecessor a process uses at most about twice that."""


def open_log(path: Path) -> int:
    """Open for appending; the caller closes the descriptor."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    return os.open(path, flags, 0o600)


def bound_log(path: Path, max_bytes: int = LOG_MAX_BYTES) -> bool:
    """Move the content to ``NAME.1`` when the file has grown too large; tell whether it did.

    The writer keeps its descriptor (it appends, so it goes on at the new end). Lines written during
    the copy may be lost; a log is for people, never a record of jobs.
    """
    try:
        if path.stat().st_size <= max_bytes:
            return False
    except FileNotFoundError:
        return False
    shutil.copyfile(path, path.with_name(f"{path.name}.1"))
    os.truncate(path, 0)
    return True


def tail(path: Path, lines: int = 15) -> str:
    """Give the last lines, for an error message; empty when there is no log."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 16_384))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
