"""Disks that are full, fail or are slow: a small tmpfs, and system calls tampered with by strace."""

import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.rig.command import CommandFailedError, run
from tests.chaos.rig.names import unique_name
from tests.chaos.rig.process import NotInTimeError, Process, wait_until

BALLAST = "ballast"
CHUNK_BYTES = 1 << 20
ATTACH_TIMEOUT_S = 20.0
SYNC_CALLS = ("fsync", "fdatasync", "sync_file_range", "msync")
WRITE_CALLS = ("write", "pwrite64", "writev", "pwritev", "pwritev2", *SYNC_CALLS)


class Tmpfs:
    """A file system in memory of a fixed size, to be filled and freed.

    Parameters
    ----------
    path
        Mount point; made when missing.
    """

    def __init__(self, path: Path, size_mb: int) -> None:
        self.path = path
        self._size_mb = size_mb
        self._mounted = False

    def mount(self) -> None:
        """Mount it, empty."""
        self.path.mkdir(parents=True, exist_ok=True)
        options = f"size={self._size_mb}m,mode=0755"
        # The source names the run, for the next one to find what a killed one left.
        run("mount", "-t", "tmpfs", "-o", options, unique_name("t"), str(self.path))
        self._mounted = True

    def unmount(self) -> None:
        """Take it away with all it holds; processes that still use it keep it until they end."""
        if self._mounted:
            run("umount", "--lazy", str(self.path))
            self._mounted = False

    @property
    def free_bytes(self) -> int:
        """What can still be written."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def fill(self) -> None:
        """Leave no byte free."""
        with (self.path / BALLAST).open("ab", buffering=0) as file:
            for size in (CHUNK_BYTES, 4096, 1):
                _write_until_full(file.fileno(), size)

    def free(self) -> None:
        """Give back what ``fill`` took."""
        (self.path / BALLAST).unlink(missing_ok=True)


@dataclass(frozen=True)
class Tampering:
    """What strace does to system calls of a process.

    Parameters
    ----------
    calls
        Names of system calls.
    action
        As after ``inject=CALLS:`` of strace: ``error=EIO``, ``delay_enter=300000`` (us).
    files
        Only calls on these files; empty is all.
    """

    calls: Sequence[str]
    action: str
    files: Sequence[Path] = ()

    def argv(self, pids: Iterable[int], output: Path) -> tuple[str, ...]:
        """Give strace's command line."""
        calls = ",".join(f"?{call}" for call in self.calls)
        paths = [part for path in self.files for part in ("-P", str(path))]
        targets = [part for pid in pids for part in ("-p", str(pid))]
        filters = ("-e", f"trace={calls}", "-e", f"inject={calls}:{self.action}")
        return ("strace", "-f", "-q", "-o", str(output), *filters, *paths, *targets)


def failing(files: Sequence[Path] = (), error: str = "EIO") -> Tampering:
    """Let every write and sync fail."""
    return Tampering(WRITE_CALLS, f"error={error}", files)


def slow_sync(delay_ms: int) -> Tampering:
    """Let every sync take so much longer."""
    return Tampering(SYNC_CALLS, f"delay_enter={delay_ms * 1000}")


class Tracer:
    """strace at work on processes; also slows every other system call they make a little."""

    def __init__(self, process: Process, output: Path, pids: Sequence[int]) -> None:
        self.process = process
        self._output = output
        self._pids = pids

    def tampered(self) -> int:
        """Count the calls it changed so far."""
        try:
            text = self._output.read_text(errors="replace")
        except FileNotFoundError:
            return 0
        return text.count("(INJECTED)") + text.count("(DELAYED)")

    def attach(self) -> None:
        """Start it and wait until it holds every process that still runs."""
        self.process.start()
        wait_until(self._holds_all, f"strace on {self._pids}", ATTACH_TIMEOUT_S)

    def detach(self) -> None:
        """Let the processes go on as before."""
        self.process.ask_to_stop()
        try:
            self.process.wait(ATTACH_TIMEOUT_S)
        except NotInTimeError:
            # The kernel lets go of what a killed tracer held.
            self.process.kill()

    def _holds_all(self) -> bool:
        if self.process.exit_code is None:
            return all(_is_traced_wholly(pid) for pid in self._pids)
        if self.process.exit_code != 0:
            raise CommandFailedError(self.process.describe())
        # It ends well by itself when all it held have ended: the first call that failed may be the last.
        return True


@contextmanager
def tampered(tampering: Tampering, pids: Sequence[int], output: Path) -> Iterator[Tracer]:
    """Tamper for the length of the block with processes, their threads and what they start.

    Parameters
    ----------
    output
        File for strace's record of the calls.
    """
    argv = tampering.argv(pids, output)
    log = output.with_name(f"{output.name}.err")
    tracer = Tracer(Process(argv, log=log, stop_signal=signal.SIGINT), output, pids)
    try:
        tracer.attach()
        yield tracer
    finally:
        tracer.detach()


def _is_traced_wholly(pid: int) -> bool:
    """Tell whether every thread is traced; a process that is gone counts."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return all("TracerPid:\t0\n" not in (task / "status").read_text() for task in tasks)
    except (FileNotFoundError, ProcessLookupError):
        return not Path(f"/proc/{pid}").exists()


def _write_until_full(descriptor: int, size: int) -> None:
    block = bytes(size)
    try:
        while os.write(descriptor, block) == size:
            pass
    except OSError:
        return
