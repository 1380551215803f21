"""One program under test: started, killed, stopped, paused and resumed by exactly its own pid.

A program becomes the leader of a session of its own and is killed by the kernel when the driving
process dies, however that ends.
"""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from types import MappingProxyType

from adapters.embedded.logs import open_log, tail
from adapters.embedded.process_mark import children_of, kill_group
from tests.chaos.rig.patience import PATIENCE

LAUNCHER = Path(__file__).resolve().parents[3] / "adapters" / "embedded" / "launch.py"

GRACE_S = 20.0
LOOK_AGAIN_S = 0.02
NOTHING: Mapping[str, str] = MappingProxyType({})


class NotInTimeError(Exception):
    """What was waited for did not happen before the deadline."""


class DidNotStartError(Exception):
    """A program that had to run ended at once; the message holds the end of its log."""


def wait_until(
    condition: Callable[[], object], what: str, timeout_s: float = 30.0, every_s: float = LOOK_AGAIN_S
) -> None:
    """Return once the condition holds.

    Parameters
    ----------
    timeout_s
        On a quiet machine; grows with the patience of this process.

    Raises
    ------
    NotInTimeError
        It did not within the time.
    """
    limit_s = PATIENCE.limit_s(timeout_s)
    deadline_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() >= deadline_s:
            raise NotInTimeError(f"not within {limit_s:.0f} s: {what}")
        time.sleep(every_s)


class Process:
    """A program that may be started any number of times, one run after the other.

    Parameters
    ----------
    argv
        Program and arguments; looked up on the search path.
    log
        Standard output and error of all runs, appended.
    user
        Account to run as; None keeps the driver's.
    stop_signal
        What asks it to end in order.
    death_signal
        What the kernel sends when the driving process dies.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.argv = tuple(argv)
        self.log = log
        self._env = None if env is None else dict(env)
        self._cwd = cwd
        self._user = user
        self._stop_signal = stop_signal
        self._death_signal = death_signal
        self._running: subprocess.Popen[bytes] | None = None

    def start(self, more: Mapping[str, str] = NOTHING) -> None:
        """Start it, with more environment for this run alone; it must not be running."""
        assert not self.is_alive, f"{self.argv[0]} runs already as {self.pid}"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._running = _SPAWNER.call(partial(self._spawn, more))

    @property
    def pid(self) -> int:
        """The pid of the present or last run, also that of its session and group."""
        assert self._running is not None, f"{self.argv[0]} was never started"
        return self._running.pid

    @property
    def is_alive(self) -> bool:
        """Whether it runs; a paused program does."""
        return self._running is not None and self._running.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Of the last run: negative is the signal that ended it; None while it runs."""
        return None if self._running is None else self._running.poll()

    def send(self, signum: signal.Signals) -> None:
        """Signal the program alone; nothing happens when it is gone."""
        if self._running is not None:
            self._running.send_signal(signum)

    def send_to_group(self, signum: signal.Signals) -> None:
        """Signal it and what it started in its group; nothing happens when it is gone."""
        if self.is_alive:
            os.killpg(self.pid, signum)

    def kill(self) -> None:
        """End the program alone without warning, as the kernel does for want of memory; reap it."""
        self.send(signal.SIGKILL)
        self.wait()

    def kill_group(self) -> None:
        """End it and what is left of its group without warning."""
        if self._running is not None:
            kill_group(self._running.pid)
            self.wait()

    def pause(self) -> None:
        """Let the program alone run no instruction until it is resumed; its connections stay open."""
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused program go on."""
        self.send(signal.SIGCONT)

    def ask_to_stop(self) -> None:
        """Ask it to end in order; does not wait."""
        self.send(self._stop_signal)
        self.send(signal.SIGCONT)

    def terminate(self, grace_s: float = GRACE_S) -> int | None:
        """Ask it to end in order, and kill the group when it has not within the time.

        Returns
        -------
        int | None
            The exit code (``-9`` when it had to be killed); None when it was never started.
        """
        self.ask_to_stop()
        try:
            self.wait(grace_s)
        except NotInTimeError:
            self.kill_group()
        if self._running is not None:
            kill_group(self._running.pid)
        return self.exit_code

    def wait(self, timeout_s: float = 30.0) -> int | None:
        """Wait for the end of the run and give its exit code.

        Raises
        ------
        NotInTimeError
            It still runs.
        """
        if self._running is None:
            return None
        try:
            return self._running.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise NotInTimeError(f"not within {timeout_s:.0f} s: the end of {self.argv[0]}") from None

    def describe(self) -> str:
        """Say how it is, with the end of its log."""
        state = "runs" if self.is_alive else f"ended with {self.exit_code}"
        return f"{self.argv[0]} {state}; the end of {self.log}:\n{tail(self.log)}"

    def _spawn(self, more: Mapping[str, str]) -> subprocess.Popen[bytes]:
        log = open_log(self.log)
        env = {**(os.environ if self._env is None else self._env), **more}
        try:
            return subprocess.Popen(
                self._launch(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=self._cwd,
                start_new_session=True,
            )
        finally:
            os.close(log)

    def _launch(self) -> tuple[str, ...]:
        launcher = (sys.executable, "-I", "-S", str(LAUNCHER))
        return (*launcher, str(os.getpid()), str(int(self._death_signal)), self._user or "-", *self.argv)


def run_to_end(process: Process, timeout_s: float) -> None:
    """Run a program that has to succeed.

    Raises
    ------
    DidNotStartError
        Its exit code is not 0.
    """
    process.start()
    try:
        code = process.wait(timeout_s)
    except NotInTimeError:
        process.kill_group()
        raise
    if code != 0:
        raise DidNotStartError(process.describe())


def descendants(pid: int) -> list[int]:
    """Give the pids below a process, parents before children, whatever their groups are."""
    found: list[int] = []
    for child in sorted(children_of(pid)):
        found += [child, *descendants(child)]
    return found


class _Spawner:
    """Starts all programs from one thread that lives as long as the driving process.

    The kernel sends the death signal when the *thread* that forked ends: a program started by a
    short-lived thread would die with it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: queue.SimpleQueue[
            tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]
        ] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def call(self, spawn: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="spawner", daemon=True)
                self._thread.start()
        answer: Future[subprocess.Popen[bytes]] = Future()
        self._calls.put((spawn, answer))
        return answer.result()

    def _serve(self) -> None:
        while True:
            spawn, answer = self._calls.get()
            try:
                answer.set_result(spawn())
            except Exception as error:
                answer.set_exception(error)


_SPAWNER = _Spawner()
