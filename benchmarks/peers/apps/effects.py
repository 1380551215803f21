"""The one thing every measured task does: note that it ran, and when.

A record is appended to a file of the process, so that what was run is counted beside what the job system
says of it. The file's layout is ``RECORD``: number of the job, nanoseconds since 1970.
"""

import os
import struct
import time
from pathlib import Path

FOLDER_KEY = "PEERS_EFFECTS"
"""Environment variable with the folder for the files of all processes."""
SUFFIX = ".effects"
RECORD = struct.Struct("<qq")

PAYLOAD_BYTES = 300
"""As compact JSON."""
_EMPTY = '{"number":,"text":""}'

_open: dict[int, int] = {}


def payload(number: int) -> dict[str, object]:
    """Give a job's payload: its number, and text that fills it up to ``PAYLOAD_BYTES``."""
    return {"number": number, "text": "x" * (PAYLOAD_BYTES - len(_EMPTY) - len(str(number)))}


def note(number: int) -> None:
    """Note that a job runs now; safe in threads and after a fork, since an append of one record is whole."""
    now_ns = time.time_ns()
    os.write(_file(), RECORD.pack(number, now_ns))


def _file() -> int:
    pid = os.getpid()
    if pid not in _open:
        path = Path(os.environ[FOLDER_KEY], f"{pid}{SUFFIX}")
        _open[pid] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    return _open[pid]
