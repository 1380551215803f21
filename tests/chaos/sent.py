"""The ledger of what was sent: an intention is on the disk before its record can be in any log."""

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from penstock.demo.sent import SendOutcome
from tests.chaos.orders import Order


class Settled(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of one send; ``partition`` and ``offset`` where it was acknowledged."""

    send: int
    outcome: SendOutcome
    partition: int = -1
    offset: int = -1
    job_id: str = ""
    reason: str = ""


class SentLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line: what is about to be sent, or what became of it."""

    intend: tuple[Order, ...] = ()
    settle: tuple[Settled, ...] = ()


class SentLedger:
    """An append-only file; a send without a settled line is unknown, also after a crash of the driver."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._lock = threading.Lock()
        self.next_send = 0

    def intend(self, orders: Sequence[Order]) -> None:
        """Write what is about to be sent; returns when it is on the disk."""
        self._write(SentLine(intend=tuple(orders)))
        os.fsync(self._descriptor)
        self.next_send = max(self.next_send, *(order.send + 1 for order in orders))

    def settle(self, settled: Sequence[Settled]) -> None:
        """Write what became of sends."""
        self._write(SentLine(settle=tuple(settled)))

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _write(self, line: SentLine) -> None:
        with self._lock:
            os.write(self._descriptor, msgspec.json.encode(line) + b"\n")


def read_sent(path: Path, position: int) -> Iterator[tuple[SentLine, int]]:
    """Give the complete lines from a byte position on, each with the position after it."""
    decoder = msgspec.json.Decoder(SentLine)
    with path.open("rb") as file:
        file.seek(position)
        for line in file:
            if not line.endswith(b"\n"):
                return
            position += len(line)
            yield decoder.decode(line), position
