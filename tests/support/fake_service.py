"""A stand-in for a service: answers ``/readyz``, has a child of its own, does as its file says."""

import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from typing_extensions import override

_SLEEP = (sys.executable, "-I", "-S", "-c", "import signal; signal.pause()")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    @override
    def log_message(self, *_: object) -> None:
        """Stay quiet."""


def main() -> None:
    instance = os.environ["PENSTOCK_INSTANCE"]
    grandchild = subprocess.Popen(_SLEEP, start_new_session=True)
    note = Path(os.environ["FAKE_DIR"]) / f"{instance}.{os.getpid()}"
    note.write_text(f"{grandchild.pid} {os.environ['PENSTOCK_KAFKA_BOOTSTRAP']}")
    if instance == os.environ.get("FAKE_STUBBORN"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    HTTPServer(("127.0.0.1", int(os.environ["PENSTOCK_METRICS_PORT"])), Handler).serve_forever()


if __name__ == "__main__":
    main()
