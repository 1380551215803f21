"""Sending to the executor without ever blocking the worker's loop."""

import asyncio
import socket
import threading

from penstock.worker.frames import Event, frame


class Outbox:
    """The worker's sending half: usable from the loop and from other threads.

    Frames are sent at once as far as the socket takes them; the rest waits in memory and goes out
    when the loop finds the socket writable. Not promised: a bound on that memory; an executor that
    does not read for a lease's time loses the worker anyway.
    """

    def __init__(self, channel: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._channel = channel
        self._loop = loop
        self._lock = threading.Lock()
        self._pending = bytearray()

    def send(self, event: Event) -> None:
        """Send one message."""
        data = frame(event)
        with self._lock:
            waiting = bool(self._pending)
            self._pending += data
            if not waiting:
                self._push()
                if self._pending:
                    self._loop.call_soon_threadsafe(self._watch)

    def _watch(self) -> None:
        self._loop.add_writer(self._channel.fileno(), self._resume)

    def _resume(self) -> None:
        with self._lock:
            self._push()
            if not self._pending:
                self._loop.remove_writer(self._channel.fileno())

    def _push(self) -> None:
        try:
            sent = self._channel.send(self._pending, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            # The executor is gone; the reader meets the same end and leaves the process.
            sent = len(self._pending)
        del self._pending[:sent]

    def drain(self) -> None:
        """Send what waits, blocking; for a worker about to leave."""
        with self._lock:
            try:
                self._channel.sendall(self._pending)
            except OSError:
                return
            finally:
                self._pending.clear()
