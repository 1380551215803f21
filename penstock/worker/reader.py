"""The worker's ear: a thread of its own, so that a handler on the loop cannot keep a lease from it."""

import asyncio
import os
import socket
import threading

from penstock.worker.frames import Cancel, Command, FrameBuffer, Lease, LoopState, Probe, Probed, Start, Stop
from penstock.worker.outbox import Outbox
from penstock.worker.runner import Runner
from penstock.worker.watchdog import LeaseTimer

EXIT_PARENT_GONE = 75
"""Exit status of a worker whose executor closed its end (EX_TEMPFAIL)."""

_READ_BYTES = 256 * 1024


class Reader:
    """Reads commands, renews the lease and answers probes at once, and hands the rest to the loop.

    Ends the process when the executor's end is closed.
    """

    def __init__(
        self,
        channel: socket.socket,
        loop: asyncio.AbstractEventLoop,
        runner: Runner,
        outbox: Outbox,
        lease: LeaseTimer,
    ) -> None:
        self._channel = channel
        self._loop = loop
        self._runner = runner
        self._outbox = outbox
        self._lease = lease
        self._unseen_cancels = 0

    def start(self) -> None:
        """Read until the process ends."""
        threading.Thread(target=self._read, name="reader", daemon=True).start()

    def _read(self) -> None:
        try:
            self._serve()
        except OSError:
            pass
        finally:
            # Also after an error of ours: a deaf worker must not go on.
            os._exit(EXIT_PARENT_GONE)

    def _serve(self) -> None:
        buffer = FrameBuffer()
        while data := self._channel.recv(_READ_BYTES):
            for command in buffer.commands(data):
                self._take(command)

    def _take(self, command: Command) -> None:
        match command:
            case Lease(until_s):
                self._lease.renew(until_s)
            case Probe():
                self._answer()
            case Cancel():
                self._unseen_cancels += 1
                self._loop.call_soon_threadsafe(self._pass_cancel, command)
            case Start() | Stop():
                self._loop.call_soon_threadsafe(self._runner.obey, command)

    def _pass_cancel(self, command: Cancel) -> None:
        self._unseen_cancels -= 1
        self._runner.obey(command)

    def _answer(self) -> None:
        """Say whether the loop turns: probes come long after a cancel, so one not taken yet shows a block."""
        if self._unseen_cancels:
            self._outbox.send(Probed(LoopState.BLOCKED, self._runner.holder()))
        else:
            self._outbox.send(Probed(LoopState.TURNING, None))
