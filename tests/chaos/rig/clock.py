"""A wall clock of its own for some processes, moved while they run (needs a C compiler).

libfaketime is no help for Python: its waits take an hour longer when the clock is an hour wrong.
"""

import mmap
import shutil
import struct
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.chaos.rig.command import run

SOURCE = Path(__file__).with_name("wrong_clock.c")
TOOLS = Path(__file__).resolve().parents[3] / "build" / "tools"
LIBRARY = TOOLS / "libwrongclock.so"
_SIZE = struct.calcsize("d")
COMPILERS = ("cc", "gcc", "clang")


class NoCompilerError(Exception):
    """The library cannot be built; the message says why."""


def build_library() -> Path:
    """Build the library where it is missing or older than its source.

    Raises
    ------
    NoCompilerError
        There is no C compiler.
    CommandFailedError
        It refuses the source.
    """
    if LIBRARY.exists() and LIBRARY.stat().st_mtime >= SOURCE.stat().st_mtime:
        return LIBRARY
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        raise NoCompilerError(f"none of {', '.join(COMPILERS)} is installed")
    TOOLS.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=TOOLS) as directory:
        made = Path(directory) / LIBRARY.name
        run(compiler, "-O2", "-shared", "-fPIC", "-o", str(made), str(SOURCE), "-ldl", "-lpthread")
        # In one step, so that a process that starts meanwhile loads the whole of it.
        made.replace(LIBRARY)
    return LIBRARY


class WrongClock:
    """The wall clock of the processes that were started with its ``environment``.

    Parameters
    ----------
    file
        Says how wrong the clock is; made where it is missing, by whoever comes first.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def environment(self) -> dict[str, str]:
        """What a process has to be started with, and what its children inherit."""
        return {"LD_PRELOAD": str(LIBRARY), "CHAOS_WRONG_CLOCK": str(self._file)}

    def set(self, shift_s: float) -> None:
        """Move the clock to so many seconds ahead of the right time, at once and for all readers."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.touch()
        with self._file.open("r+b") as file:
            file.truncate(_SIZE)
            with mmap.mmap(file.fileno(), _SIZE) as page:
                page[:] = struct.pack("d", shift_s)
