"""``/metrics``, ``/healthz`` and ``/readyz`` of one service, on a thread of their own."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from typing_extensions import override

STALL_S = 60.0
"""A loop that has not come round for this long is reported as stuck; twice a long poll and more."""


LOOP_STALL_S = 5.0
"""An event loop that runs nothing for this long is blocked: heartbeats and fetches stand still with it. Above
what a busy machine makes a loop wait, below a lease and the session of a group member."""


@dataclass
class Health:
    """What a service says of itself; written by its loop, read by the HTTP thread."""

    ready: bool = False
    reason: str = "starting"
    hindrance: str | None = None
    """What outside keeps the service from its work, whatever its steps say of themselves."""
    now_s: Callable[[], float] = time.monotonic
    _beat_s: float = field(default_factory=time.monotonic)
    _turn_s: float | None = None

    def beat(self) -> None:
        """Say that the main loop came round."""
        self._beat_s = self.now_s()

    def turn(self) -> None:
        """Say that the event loop runs; once said, it must be said again before it counts as blocked."""
        self._turn_s = self.now_s()

    def set_ready(self) -> None:
        """Say that the service does its work now."""
        self.ready, self.reason = True, "ready"

    def set_unready(self, reason: str) -> None:
        """Say why the service cannot do its work at the moment."""
        self.ready, self.reason = False, reason

    @property
    def alive(self) -> bool:
        """Whether the main loop still comes round."""
        return self.now_s() - self._beat_s < STALL_S

    def why_unready(self) -> str | None:
        """Say why the service does not do its work now; None when it does."""
        if self._turn_s is not None and (blocked_s := self.now_s() - self._turn_s) >= LOOP_STALL_S:
            return f"the event loop has been blocked for {blocked_s:.0f} s"
        if not self.alive:
            return "main loop is stuck"
        return self.hindrance or (None if self.ready else self.reason)


def start_http(port: int, health: Health, registry: CollectorRegistry, host: str) -> int:
    """Serve metrics and health on ``port`` (0: any free one); give the port.

    Raises
    ------
    OSError
        The port is taken; a person must choose another.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            match self.path.split("?")[0]:
                case "/metrics":
                    self._answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)
                case "/healthz":
                    self._say(health.alive, "ok" if health.alive else "main loop is stuck")
                case "/readyz":
                    why = health.why_unready()
                    self._say(why is None, why or health.reason)
                case _:
                    self._answer(404, b"try /metrics, /healthz or /readyz\n", "text/plain")

        def _say(self, good: bool, text: str) -> None:
            self._answer(200 if good else 503, f"{text}\n".encode(), "text/plain")

        def _answer(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Keep scrapes out of the service log."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server.server_port
