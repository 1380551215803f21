"""Ports on the loopback address, remembered from one start to the next."""

import random
import socket
from pathlib import Path

import msgspec

from adapters.embedded.home import write_atomically

HOST = "127.0.0.1"

PORT_FIRST, PORT_LAST = 20_000, 32_000
"""Below Linux' range for outgoing connections (from 32,768), which would take a remembered port."""

_ATTEMPTS = 200


class NoFreePortError(Exception):
    """No port of the range can be bound; a person frees some."""


def can_bind(port: int) -> bool:
    """Tell whether a server could listen on the port now.

    Not promised: that it still can a moment later; the server that loses such a race exits and is
    started again by the supervisor.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: connections of the last run that are still winding down do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


class PortBook:
    """Ports by purpose, kept in a file of the data directory (None: nowhere)."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._ports = _read(path) if path is not None else {}

    def port(self, purpose: str) -> int:
        """Give the remembered port, or a new free one when none is remembered or it is taken."""
        remembered = self._ports.get(purpose)
        if remembered is not None and can_bind(remembered):
            return remembered
        chosen = self._choose()
        self._ports[purpose] = chosen
        if self._path is not None:
            write_atomically(self._path, msgspec.json.encode(self._ports), 0o644)
        return chosen

    def _choose(self) -> int:
        taken = set(self._ports.values())
        for _ in range(_ATTEMPTS):
            candidate = random.randrange(PORT_FIRST, PORT_LAST)
            if candidate not in taken and can_bind(candidate):
                return candidate
        raise NoFreePortError(f"no free port on {HOST} between {PORT_FIRST} and {PORT_LAST}")


def _read(path: Path) -> dict[str, int]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, int])
    except FileNotFoundError:
        return {}
