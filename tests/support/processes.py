"""Programs under test: started in a group of their own, waited for by what they print."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from adapters.embedded.plan import child_environment

LAUNCHER = Path(__file__).resolve().parents[2] / "adapters" / "embedded" / "launch.py"
LOOK_AGAIN_S = 0.02


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 30.0) -> None:
    """Return once the condition holds; fails the test at the deadline."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {timeout_s} s: {what}"
        time.sleep(LOOK_AGAIN_S)


class Program:
    """``python -m MODULE ...``, killed when this process dies or the block ends."""

    def __init__(self, output: Path, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self._output = output
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                _with_parent(*arguments),
                env=child_environment(os.environ | dict(env or {})),
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            finally:
                self.process.kill()
        self.process.wait()

    @property
    def output(self) -> str:
        """What it printed so far."""
        return self._output.read_text(errors="replace")

    def wait_ready(self, timeout_s: float = 120.0) -> None:
        """Return once it printed the line ``ready``; fails the test when it ends before."""

        def is_ready() -> bool:
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.output}"
            return "ready\n" in self.output

        wait_until(is_ready, "a line `ready`", timeout_s)

    def stop(self, signum: signal.Signals = signal.SIGINT, timeout_s: float = 90.0) -> int:
        """Signal it and give its exit code."""
        self.process.send_signal(signum)
        return self.process.wait(timeout_s)


def _with_parent(*arguments: str) -> tuple[str, ...]:
    launcher = (sys.executable, "-I", "-S", str(LAUNCHER))
    return (*launcher, str(os.getpid()), str(int(signal.SIGTERM)), "-", sys.executable, "-P", *arguments)
