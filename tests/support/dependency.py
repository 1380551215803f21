"""What tasks under test call: an HTTP server on the loopback address that can be down."""

import contextlib
import threading
import time
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from typing_extensions import override


class _Server(ThreadingHTTPServer):
    request_queue_size = 256
    """As many callers at once are let in, whatever the machine is busy with."""


class Dependency:
    """Answers 200, or 500 while it is not up; says when it was called and what it answered.

    Attributes
    ----------
    is_up
        May be changed at any time.
    calls
        First part of the path, seconds of the monotonic clock, and whether it was answered well.
    """

    def __init__(self) -> None:
        self.is_up = True
        self.calls: list[tuple[str, float, bool]] = []
        self._lock = threading.Lock()
        dependency = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self._answer()

            def _answer(self) -> None:
                is_up = dependency._called(self.path.strip("/").partition("?")[0])
                self.send_response(200 if is_up else 500)
                self.send_header("Content-Length", "2")
                self.end_headers()
                # Whoever called may have gone.
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(b"ok")

            @override
            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="dependency", daemon=True)

    def _called(self, kind: str) -> bool:
        with self._lock:
            self.calls.append((kind, time.monotonic(), self.is_up))
            return self.is_up

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def counts(self) -> Counter[str]:
        """How often it ``answered`` and ``refused``."""
        with self._lock:
            return Counter("answered" if ok else "refused" for _, _, ok in self.calls)

    def calls_by_kind(self) -> dict[str, list[tuple[float, bool]]]:
        """When it was called with each path, and how it answered."""
        found: dict[str, list[tuple[float, bool]]] = defaultdict(list)
        with self._lock:
            for kind, at_s, ok in self.calls:
                found[kind].append((at_s, ok))
        return found

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()
