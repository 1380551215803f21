"""What this machine can do, found out by doing it."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from enum import StrEnum
from functools import cache, partial
from pathlib import Path

from tests.chaos.rig.clock import NoCompilerError, build_library
from tests.chaos.rig.command import CommandFailedError, run
from tests.chaos.rig.disk import Tmpfs
from tests.chaos.rig.limits import Controller, Group
from tests.chaos.rig.network import Network
from tests.chaos.rig.old_code import NoHistoryError, require_history
from tests.chaos.rig.process import NotInTimeError
from tests.chaos.rig.proxy import NoToxiproxyError, Toxiproxy

FAKETIME_PLACES = ("/usr/lib/{machine}-linux-gnu", "/usr/lib", "/usr/lib64", "/usr/local/lib")
FAKETIME_LIBRARY = "faketime/libfaketimeMT.so.1"


class Tool(StrEnum):
    """What a fault may need of the machine."""

    ROOT = "root"
    NETNS = "network namespaces"
    IPTABLES = "iptables in a namespace"
    TOXIPROXY = "toxiproxy"
    STRACE = "strace"
    TMPFS = "tmpfs"
    CGROUP_MEMORY = "cgroup v1 memory"
    CGROUP_CPU = "cgroup v1 cpu"
    FAKETIME = "libfaketime"
    WRONG_CLOCK = "a C compiler for the wrong clock"
    HISTORY = "the history of this repository"


class MissingToolError(Exception):
    """The machine cannot do it; the message says what was tried."""


_FAILURES = (
    MissingToolError,
    NoCompilerError,
    CommandFailedError,
    NoHistoryError,
    NoToxiproxyError,
    NotInTimeError,
    OSError,
)


@cache
def why_missing(tool: Tool) -> str | None:
    """Say why the machine cannot do something; None when it can. Tried once a process."""
    try:
        _TRIALS[tool]()
    except _FAILURES as error:
        return str(error).strip().partition("\n")[0]
    return None


def faketime_library() -> Path:
    """Find the library that shifts a program's clock.

    Raises
    ------
    MissingToolError
        It is not installed.
    """
    for place in FAKETIME_PLACES:
        path = Path(place.format(machine=platform.machine())) / FAKETIME_LIBRARY
        if path.exists():
            return path
    raise MissingToolError("libfaketime is not installed")


def _try_root() -> None:
    if os.geteuid() != 0:
        raise MissingToolError("not root")


def _try_namespaces() -> None:
    with Network(1) as network:
        run(*network.namespaces[0].prefix, "true")


def _try_iptables() -> None:
    with Network(1) as network, network.namespaces[0].losing(0.5):
        network.namespaces[0].dropped()


def _try_toxiproxy() -> None:
    with tempfile.TemporaryDirectory() as directory:
        server = Toxiproxy(Path(directory) / "log")
        try:
            server.start()
        finally:
            server.close()


def _try_strace() -> None:
    """A child whose sync fails as injected proves that tracing is allowed here."""
    if shutil.which("strace") is None:
        raise MissingToolError("strace is not installed")
    program = "import os,tempfile\nwith tempfile.TemporaryFile() as f: os.fsync(f.fileno())"
    inject = ("-e", "trace=fsync", "-e", "inject=fsync:error=EIO")
    done = subprocess.run(
        ("strace", "-f", "-q", "-o", os.devnull, *inject, sys.executable, "-c", program),
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    if done.returncode == 0 or "Input/output error" not in done.stderr:
        raise MissingToolError(f"strace cannot inject: {done.stderr.strip()[-200:]}")


def _try_tmpfs() -> None:
    with tempfile.TemporaryDirectory() as directory:
        disk = Tmpfs(Path(directory), 1)
        disk.mount()
        disk.unmount()


def _try_group(controller: Controller, file: str) -> None:
    group = Group(controller)
    group.make()
    try:
        group.set(file, 100_000_000 if controller is Controller.MEMORY else 50_000)
    finally:
        group.remove()


_TRIALS: dict[Tool, Callable[[], object]] = {
    Tool.ROOT: _try_root,
    Tool.NETNS: _try_namespaces,
    Tool.IPTABLES: _try_iptables,
    Tool.TOXIPROXY: _try_toxiproxy,
    Tool.STRACE: _try_strace,
    Tool.TMPFS: _try_tmpfs,
    Tool.CGROUP_MEMORY: partial(_try_group, Controller.MEMORY, "memory.limit_in_bytes"),
    Tool.CGROUP_CPU: partial(_try_group, Controller.CPU, "cpu.cfs_quota_us"),
    Tool.FAKETIME: faketime_library,
    Tool.WRONG_CLOCK: build_library,
    Tool.HISTORY: require_history,
}
