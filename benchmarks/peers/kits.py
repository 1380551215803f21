"""Installs what peers are made of, from pinned files and into ``build/peers`` alone; says what is missing."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from benchmarks.peers.catalog import BUILD, HERE, NODE_FOLDER, PYTHON, RIVER, Kit, Peer, Server
from benchmarks.peers.results import Skipped

Which = Callable[[str], str | None]
"""Finds a program, as ``shutil.which``."""

TIMEOUT_S = 1800.0
"""Of one step of an installation: a first build of River compiles all it is made of."""

REDIS = ("redis-server", "valkey-server")
"""Programs that serve Redis' protocol, best first."""

_PROGRAMS = {Kit.PYTHON: (), Kit.GO: ("go",), Kit.NODE: ("node", "npm")}
_REMEDIES = {
    "go": "install Go 1.26 or newer",
    "node": "install Node.js 18 or newer; on Debian: apt install nodejs npm",
    "npm": "install npm; on Debian: apt install npm",
    "redis-server": "install Redis; on Debian: apt install redis-server",
}


class InstallError(Exception):
    """A kit cannot be installed; the message says why, in one line or a few."""


def missing(peer: Peer, which: Which = shutil.which) -> Skipped | None:
    """Say which program a peer lacks on this machine; None when it lacks none."""
    for program in _PROGRAMS[peer.kit]:
        if which(program) is None:
            return Skipped(peer.name, f"{program} is not installed", _REMEDIES[program])
    if Server.REDIS in peer.servers and redis(which) is None:
        return Skipped(peer.name, f"neither {' nor '.join(REDIS)} is installed", _REMEDIES["redis-server"])
    return None


def redis(which: Which = shutil.which) -> str | None:
    """Find a Redis server."""
    return next((found for name in REDIS if (found := which(name))), None)


def install(kit: Kit) -> None:
    """Install a kit; costs nothing when its pinned files have not changed.

    Raises
    ------
    InstallError
        It cannot be installed.
    """
    {Kit.PYTHON: _install_python, Kit.GO: _install_go, Kit.NODE: _install_node}[kit]()


def is_installed(kit: Kit) -> bool:
    """Tell whether the pinned files of a kit are what is installed."""
    stamp, pinned = _stamp(kit)
    return stamp.exists() and stamp.read_text(encoding="ascii") == _digest(pinned)


def _stamp(kit: Kit) -> tuple[Path, tuple[Path, ...]]:
    pinned = {
        Kit.PYTHON: (HERE / "requirements.txt",),
        Kit.GO: tuple(HERE / "river" / name for name in ("go.mod", "go.sum", "main.go")),
        Kit.NODE: tuple(
            HERE / "graphile" / name for name in ("package.json", "package-lock.json", "bench.mjs")
        ),
    }[kit]
    return BUILD / f".{kit}", pinned


def _digest(pinned: Iterable[Path]) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in pinned)).hexdigest()


def _install_python() -> None:
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        raise InstallError(f"{uv} is not there; `make init` brings it")
    environment = BUILD / "venv"

    def build() -> None:
        if not PYTHON.exists():
            _run((str(uv), "venv", "--quiet", "--python", sys.executable, str(environment)))
        requirements = str(HERE / "requirements.txt")
        _run((str(uv), "pip", "sync", "--quiet", "--require-hashes", "--python", str(PYTHON), requirements))

    _unless_installed(Kit.PYTHON, build)


def _install_go() -> None:
    # A cache of its own, writable so that it can be removed like everything else under build.
    settings = {
        "GOMODCACHE": str(BUILD / "gomod"),
        "GOCACHE": str(BUILD / "gocache"),
        "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false",
    }
    command = ("go", "build", "-o", str(RIVER), ".")
    _unless_installed(Kit.GO, lambda: _run(command, cwd=HERE / "river", environment=settings))


def _install_node() -> None:
    def build() -> None:
        NODE_FOLDER.mkdir(parents=True, exist_ok=True)
        for path in _stamp(Kit.NODE)[1]:
            shutil.copy(path, NODE_FOLDER)
        _run(("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"), cwd=NODE_FOLDER)

    _unless_installed(Kit.NODE, build)


def _unless_installed(kit: Kit, build: Callable[[], None]) -> None:
    if is_installed(kit):
        return
    stamp, pinned = _stamp(kit)
    BUILD.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    build()
    stamp.write_text(_digest(pinned), encoding="ascii")


def _run(command: tuple[str, ...], *, cwd: Path = HERE, environment: Mapping[str, str] | None = None) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=os.environ | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallError(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()[-5:]
        raise InstallError(f"{' '.join(command[:3])} failed: {' | '.join(said)}")
