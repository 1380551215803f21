"""One worker process, seen from the executor's loop."""

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, assert_never

import msgspec
from typing_extensions import override

from penstock.context import CancelReason
from penstock.errors import AppImportError, PenstockError
from penstock.worker import frames
from penstock.worker.frames import (
    Cancel,
    Command,
    Ended,
    Event,
    FrameBuffer,
    JobNote,
    JobOutcome,
    Lease,
    Notes,
    Probe,
    Probed,
    Ready,
    Start,
    StartFailed,
    StartJob,
    Stop,
    TaskPolicy,
    WorkerConfig,
)
from services.executor.workers.blame import Cause, Death, ending
from services.executor.workers.options import PoolOptions

logger = logging.getLogger(__name__)

_EOF_GRACE_S = 2.0
"""A process that left the group may hold a dead worker's socket; what is unread by then is given up."""

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class WorkerStartError(PenstockError):
    """A worker ended, or did not become ready in time, before it could take jobs."""


class OpenJob:
    """A job inside a worker; times by the loop's clock.

    ``due_s`` is when it is late: for its timeout, and once it was asked to stop, for that.
    """

    __slots__ = ("asked", "due_s", "job", "started_s")

    def __init__(self, job: StartJob, started_s: float) -> None:
        self.job = job
        self.started_s = started_s
        self.due_s = started_s + job.timeout_s
        self.asked: CancelReason | None = None


class Listener(Protocol):
    """Who hears of a worker."""

    def on_ended(self, worker: "WorkerProcess", outcomes: Sequence[JobOutcome]) -> None:
        """Take outcomes of attempts that ended in a worker that lives on."""

    def on_notes(self, notes: Sequence[JobNote]) -> None:
        """Take what attempts said."""

    def on_dead(self, worker: "WorkerProcess", death: Death) -> None:
        """Learn that the process is gone; all it said was heard, and jobs still open ended with it."""


class WorkerProcess(asyncio.Protocol):
    """A worker process in a process group of its own.

    Promised: ``on_dead`` is called exactly once, after every outcome the worker sent, and then no
    process of its group is left. Start it in a thread that outlives it: Linux ends it with that thread.
    """

    def __init__(self, options: PoolOptions, listener: Listener) -> None:
        self._loop = asyncio.get_running_loop()
        self._options = options
        self._listener = listener
        self._buffer = FrameBuffer()
        self._transport: asyncio.Transport | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._exit_code: int | None = None
        self._eof = False
        self._sentence: Death | None = None
        self._started: asyncio.Future[list[TaskPolicy]] = self._loop.create_future()
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._probe: asyncio.Future[Probed] | None = None
        self.is_ready = False
        self.is_condemned = False
        self.jobs: dict[str, OpenJob] = {}

    async def start(self) -> None:
        """Start the process, without a lease; ``ready`` says when it takes jobs."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._spawn(theirs.fileno())
        await self._loop.create_unix_connection(lambda: self, sock=ours)

    def _spawn(self, fd: int) -> None:
        config = WorkerConfig(
            fd=fd,
            parent_pid=os.getpid(),
            app=list(self._options.app),
            app_path=[str(Path(folder).resolve()) for folder in self._options.app_path],
            slots=self._options.slots_per_worker,
            result_max_bytes=self._options.result_max_bytes,
        )
        # -P keeps the working directory off sys.path, where our own packages could hide the app's.
        command = [sys.executable, "-P", "-m", "penstock.worker", msgspec.json.encode(config).decode()]
        self._process = subprocess.Popen(
            command, pass_fds=[fd], stdin=subprocess.DEVNULL, env=_environment(), process_group=0
        )
        self._pidfd = os.pidfd_open(self._process.pid)
        self._loop.add_reader(self._pidfd, self._on_exit)

    @property
    def pid(self) -> int:
        """Process id; of a dead worker it may name another process."""
        return 0 if self._process is None else self._process.pid

    @property
    def free(self) -> int:
        """Slots that can take a job now."""
        if not self.is_ready or self.is_condemned:
            return 0
        return self._options.slots_per_worker - len(self.jobs)

    async def ready(self) -> list[TaskPolicy]:
        """Wait until it takes jobs and give its tasks.

        Raises
        ------
        AppImportError
            The app cannot be used; its message is for the operator.
        WorkerStartError
            The process ended or took longer than ``start_timeout_s``.
        """
        try:
            async with asyncio.timeout(self._options.start_timeout_s):
                return await asyncio.shield(self._started)
        except TimeoutError:
            modules = ", ".join(self._options.app) or "(only built-in tasks)"
            message = (
                f"a worker did not import {modules} within {self._options.start_timeout_s:g} s; make the "
                f"import faster (connect in the handler, not at import) or raise the start timeout"
            )
            raise WorkerStartError(message) from None

    async def gone(self) -> None:
        """Wait until the process is gone and ``on_dead`` was called."""
        await asyncio.shield(self._gone)

    def run(self, jobs: Sequence[StartJob], now_s: float) -> None:
        """Hand over jobs, in one frame."""
        for job in jobs:
            self.jobs[job.key] = OpenJob(job, now_s)
        self._send(Start(list(jobs)))

    def ask_to_stop(self, keys: Sequence[str], reason: CancelReason, grace_s: float = 0.0) -> None:
        """Ask attempts to stop; async handlers are cancelled after ``grace_s``."""
        self._send(Cancel(list(keys), reason, grace_s))

    def renew_lease(self, until_s: float) -> None:
        """Let the worker live until this CLOCK_BOOTTIME second."""
        self._send(Lease(until_s))

    def leave(self) -> None:
        """Ask a worker without jobs to end."""
        self.is_ready = False
        self._send(Stop())

    async def probe(self, limit_s: float) -> Probed | None:
        """Ask who holds the worker's loop; None when it does not answer in time."""
        self._probe = self._loop.create_future()
        self._send(Probe())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                return await self._probe
        return None

    def kill(self, sentence: Death) -> None:
        """Kill the process and its group now; the first sentence stays, but for its exit code."""
        if self._sentence is None:
            self._sentence = sentence
        self.is_condemned = True
        self._kill_group()

    def rss_bytes(self) -> int:
        """Resident memory, 0 of a dead worker."""
        if self._exit_code is not None or self._process is None:
            return 0
        try:
            pages = Path(f"/proc/{self._process.pid}/statm").read_text(encoding="ascii").split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * _PAGE_BYTES

    def _send(self, command: Command) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frames.frame(command))

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        try:
            for event in self._buffer.events(data):
                self._hear(event)
        except msgspec.DecodeError:
            # Only code that writes to our descriptor gets here; nothing it says can be trusted now.
            logger.exception("worker %d sent what is no frame; killing it", self.pid)
            self.kill(Death(Cause.DIED))

    def _hear(self, event: Event) -> None:
        match event:
            case Ended(outcomes):
                self._listener.on_ended(self, outcomes)
            case Notes(notes):
                self._listener.on_notes(notes)
            case Ready(policies):
                self.is_ready = True
                if not self._started.done():
                    self._started.set_result(policies)
            case StartFailed(message):
                self._fail_start(AppImportError(message))
            case Probed():
                if self._probe is not None and not self._probe.done():
                    self._probe.set_result(event)
            case _:
                assert_never(event)

    def _fail_start(self, error: PenstockError) -> None:
        if not self._started.done():
            self._started.set_exception(error)
            # Whoever waits reads it; a pool that stops meanwhile does not, and need not be warned.
            self._started.exception()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._eof = True
        self.is_ready = False
        self._kill_group()
        self._bury_if_over()

    def _on_exit(self) -> None:
        assert self._process is not None
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        # Before the wait: until then the process id, and with it the group id, cannot be anyone else's.
        self._kill_group()
        self._exit_code = self._process.wait()
        self.is_ready = False
        if not self._eof and self._transport is not None:
            self._loop.call_later(_EOF_GRACE_S, self._transport.abort)
        self._bury_if_over()

    def _kill_group(self) -> None:
        if self._process is not None and self._exit_code is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _bury_if_over(self) -> None:
        if self._exit_code is None or not self._eof or self._gone.done():
            return
        death = dataclasses.replace(self._sentence or Death(Cause.DIED), exit_code=self._exit_code)
        self._fail_start(WorkerStartError(f"a worker {ending(self._exit_code)} before it was ready"))
        self._listener.on_dead(self, death)
        self._gone.set_result(None)


def _environment() -> dict[str, str]:
    """Give the workers' environment: ours, with this installation's ``penstock`` importable.

    Without the key that signs models: tasks have no use for it.
    """
    root = str(Path(frames.__file__).parents[2])
    path = os.environ.get("PYTHONPATH")
    ours = {name: value for name, value in os.environ.items() if name != "PENSTOCK_MODEL_KEY"}
    return {**ours, "PYTHONPATH": root if not path else os.pathsep.join((path, root))}
