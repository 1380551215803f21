"""A toxiproxy in front of a server: delay, bandwidth, silence, resets, by direction."""

import json
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from adapters.embedded.loopback import HOST, PortBook
from tests.chaos.rig.command import CommandFailedError, run
from tests.chaos.rig.process import NotInTimeError, Process, wait_until

PACKAGE = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0"
PROGRAM = "toxiproxy-server"
VARIABLE = "TOXIPROXY"
BUILD_TIMEOUT_S = 300.0
START_TIMEOUT_S = 20.0
CALL_TIMEOUT_S = 10.0

TOOLS = Path(__file__).resolve().parents[3] / "build" / "tools"


class NoToxiproxyError(Exception):
    """There is no toxiproxy and none can be built; the message says why."""


class Direction(StrEnum):
    """What a toxic acts on."""

    TO_SERVER = "upstream"
    TO_CLIENT = "downstream"


class Proxy:
    """One listening address that passes connections on to a server."""

    def __init__(self, control: "Toxiproxy", name: str, listen: str) -> None:
        self._control = control
        self._name = name
        self.listen = listen

    def add(self, kind: str, direction: Direction, toxicity: float = 1.0, **attributes: int) -> str:
        """Poison present and new connections; give the name by which it is removed.

        Parameters
        ----------
        kind
            A toxic of toxiproxy: ``latency`` (latency, jitter in ms), ``bandwidth`` (rate in KB/s),
            ``timeout`` (timeout in ms; 0 passes nothing for ever), ``reset_peer`` (timeout in ms),
            ``limit_data`` (bytes), ``slicer`` (average_size, size_variation in bytes, delay in us).
        toxicity
            Share of connections that are poisoned, 0 to 1.
        """
        name = f"{kind}-{direction}"
        toxic = {
            "name": name,
            "type": kind,
            "stream": direction.value,
            "toxicity": toxicity,
            "attributes": attributes,
        }
        self._control.call("POST", f"/proxies/{self._name}/toxics", toxic)
        return name

    def remove(self, name: str) -> None:
        """Take a toxic away; connections that ``timeout`` held are closed by that."""
        self._control.call("DELETE", f"/proxies/{self._name}/toxics/{name}")

    def toxics(self) -> list[dict[str, Any]]:
        """List the toxics at work."""
        return list(self._control.call("GET", f"/proxies/{self._name}/toxics"))

    @contextmanager
    def toxic(
        self, kind: str, direction: Direction, toxicity: float = 1.0, **attributes: int
    ) -> Iterator[None]:
        """Poison for the length of the block."""
        name = self.add(kind, direction, toxicity, **attributes)
        try:
            yield
        finally:
            self.remove(name)

    def cut(self) -> None:
        """Close all connections and accept no new ones."""
        self._control.call("POST", f"/proxies/{self._name}", {"enabled": False})

    def restore(self) -> None:
        """Accept connections again."""
        self._control.call("POST", f"/proxies/{self._name}", {"enabled": True})


class Toxiproxy:
    """The server process that holds all proxies of a stack.

    Parameters
    ----------
    log
        Where its output goes.
    seed
        Of its own dice (jitter, toxicity).
    """

    def __init__(self, log: Path, seed: int = 0) -> None:
        self._port = PortBook(None).port("toxiproxy")
        argv = (str(program()), "-host", HOST, "-port", str(self._port), "-seed", str(seed))
        # It reads LOG_LEVEL; every connection would be a line.
        self.process = Process(argv, log=log, env={**os.environ, "LOG_LEVEL": "error"})

    def start(self) -> None:
        """Start it and wait until it takes orders."""
        self.process.start()
        wait_until(self._answers, "toxiproxy", START_TIMEOUT_S)

    def proxy(self, name: str, listen: str, upstream: str) -> Proxy:
        """Begin to listen on an address and pass connections on to another (``host:port`` both)."""
        self.call("POST", "/proxies", {"name": name, "listen": listen, "upstream": upstream, "enabled": True})
        return Proxy(self, name, listen)

    def reset(self) -> None:
        """Take all toxics away and accept connections everywhere."""
        self.call("POST", "/reset")

    def close(self) -> None:
        """End it; all connections through it break."""
        self.process.kill_group()

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send one order.

        Raises
        ------
        CommandFailedError
            It was refused.
        """
        request = urllib.request.Request(
            f"http://{HOST}:{self._port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=CALL_TIMEOUT_S) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                raise CommandFailedError(f"toxiproxy: {method} {path}: {error.read().decode()}") from error

    def _answers(self) -> bool:
        if not self.process.is_alive:
            raise NotInTimeError(self.process.describe())
        try:
            self.call("GET", "/proxies")
        except OSError:
            return False
        return True


def program() -> Path:
    """Find toxiproxy: ``$TOXIPROXY``, the search path, ``build/tools``; else build it there with go.

    Raises
    ------
    NoToxiproxyError
        None of these.
    """
    given = os.environ.get(VARIABLE) or shutil.which(PROGRAM)
    if given:
        return Path(given)
    built = TOOLS / PROGRAM
    if not built.exists():
        _build(built)
    return built


def _build(wanted: Path) -> None:
    if shutil.which("go") is None:
        raise NoToxiproxyError(f"neither {PROGRAM} nor go (to build it) is installed")
    place = TOOLS / "go-bin"
    place.mkdir(parents=True, exist_ok=True)
    try:
        run("env", f"GOBIN={place}", "go", "install", PACKAGE, timeout_s=BUILD_TIMEOUT_S)
    except CommandFailedError as error:
        raise NoToxiproxyError(f"cannot be built: {error}") from error
    (place / "server").rename(wanted)
