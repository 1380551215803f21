"""Who is compared, what each needs, and how it is started.

The settings of each and the places in its documentation that recommend them stand where they are set: in
``apps/NAME_app.py``, ``river/main.go`` and ``graphile/bench.mjs``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from benchmarks.machine import ROOT

HERE = Path(__file__).parent
BUILD = ROOT / "build" / "peers"
"""Everything that is installed for peers, and nothing of Penstock's own."""
PYTHON = BUILD / "venv" / "bin" / "python"
NODE_FOLDER = BUILD / "node"
RIVER = BUILD / "river"


class Server(StrEnum):
    """A server that a peer needs."""

    POSTGRES = "postgres"
    REDIS = "redis"
    KAFKA = "kafka"


class Kit(StrEnum):
    """What a peer is installed by."""

    PYTHON = "python"
    GO = "go"
    NODE = "node"


@dataclass(frozen=True)
class Peer:
    """One job system and how to run it on 2 cores.

    Attributes
    ----------
    driver, workers
        Command lines: who submits and watches, and who runs jobs.
    environment
        Settings that the peer takes from there.
    final_state
        Where it keeps it, and what the watcher reads.
    """

    name: str
    kit: Kit
    servers: tuple[Server, ...]
    driver: tuple[str, ...]
    workers: tuple[tuple[str, ...], ...]
    final_state: str
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (str(PYTHON), "-P", "-m", name, *arguments)


_APPS = "benchmarks.peers.apps"

_NODE = ("node", str(NODE_FOLDER / "bench.mjs"))

PEERS = (
    Peer(
        "river",
        Kit.GO,
        (Server.POSTGRES,),
        (str(RIVER), "driver"),
        ((str(RIVER), "worker"),),
        "Postgres: river_job.state is completed",
    ),
    Peer(
        "graphile-worker",
        Kit.NODE,
        (Server.POSTGRES,),
        (*_NODE, "driver"),
        ((*_NODE, "worker"),),
        "none: a finished job's row is deleted from Postgres",
    ),
    Peer(
        "taskiq-kafka",
        Kit.PYTHON,
        (Server.KAFKA, Server.REDIS),
        _module(f"{_APPS}.taskiq_app"),
        (
            _module(
                "taskiq", "worker", f"{_APPS}.taskiq_app:broker", "--workers", "2", "--log-level", "WARNING"
            ),
        ),
        "Redis: the result, without error",
    ),
    Peer(
        "saq",
        Kit.PYTHON,
        (Server.REDIS,),
        _module(f"{_APPS}.saq_app"),
        (_module("saq", f"{_APPS}.saq_app.settings", "--workers", "2"),),
        "Redis: the job's key, status complete",
    ),
    Peer(
        "dramatiq",
        Kit.PYTHON,
        (Server.REDIS,),
        _module(f"{_APPS}.dramatiq_app"),
        (_module("dramatiq", f"{_APPS}.dramatiq_app", "--processes", "2", "--threads", "8"),),
        "Redis: the result",
    ),
    Peer(
        "celery",
        Kit.PYTHON,
        (Server.REDIS,),
        _module(f"{_APPS}.celery_app"),
        (
            _module(
                "celery",
                "--app",
                f"{_APPS}.celery_app",
                "worker",
                *("--pool", "prefork", "--concurrency", "2"),
                *("--without-gossip", "--without-mingle", "--loglevel", "WARNING"),
            ),
        ),
        "Redis: the result backend, status SUCCESS",
        MappingProxyType({"C_FORCE_ROOT": "1"}),
    ),
    Peer(
        "procrastinate",
        Kit.PYTHON,
        (Server.POSTGRES,),
        _module(f"{_APPS}.procrastinate_app"),
        (
            _module(
                "procrastinate", "--app", f"{_APPS}.procrastinate_app.app", "worker", "--concurrency", "30"
            ),
            _module(
                "procrastinate", "--app", f"{_APPS}.procrastinate_app.app", "worker", "--concurrency", "30"
            ),
        ),
        "Postgres: procrastinate_jobs.status is succeeded",
    ),
)

BY_NAME = MappingProxyType({peer.name: peer for peer in PEERS})


def environment(base: Mapping[str, str], peer: Peer) -> dict[str, str]:
    """Give the environment of a peer's processes: this tree is found, and no setting of Penstock gets in."""
    own = {key: value for key, value in base.items() if not key.startswith(("PENSTOCK_", "PYTHON"))}
    return own | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | dict(peer.environment)
