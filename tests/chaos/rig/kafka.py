"""Kafka of one or three brokers, each of which can be killed, stopped, paused or cut off alone."""

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, LeaderNotAvailableError

from adapters.embedded.home import Home, write_atomically
from adapters.embedded.jars import local_repository, locked_jars, missing
from adapters.embedded.kafka import EmbeddedKafka, new_cluster_id
from adapters.embedded.loopback import HOST, PortBook
from adapters.embedded.unit import Unit
from tests.chaos.rig.command import run
from tests.chaos.rig.process import DidNotStartError, NotInTimeError, Process, run_to_end, wait_until

Answer = TypeVar("Answer")

FETCH_TIMEOUT_S = 300.0
FORMAT_TIMEOUT_S = 120.0
READY_TIMEOUT_S = 120.0
ASK_TIMEOUT_S = 10.0
ASK_AGAIN_S = 0.2
REQUEST_TIMEOUT_MS = 3000
GONE_TIMEOUT_S = 60.0
"""A clean stop of one of three brokers hands its partitions over first."""

THREE_BROKERS = MappingProxyType(
    {
        "default.replication.factor": "3",
        "min.insync.replicas": "2",
        "offsets.topic.replication.factor": "3",
        "transaction.state.log.replication.factor": "3",
        "transaction.state.log.min.isr": "2",
        "share.coordinator.state.topic.replication.factor": "3",
        "share.coordinator.state.topic.min.isr": "2",
        # As fast as a shared machine allows: a follower that stops leaves the ISR after this.
        "replica.lag.time.max.ms": "6000",
        "controller.quorum.election.timeout.ms": "1000",
        "controller.quorum.fetch.timeout.ms": "2000",
    }
)
"""What differs from the embedded broker, which is alone."""


class Access(Enum):
    """How clients reach the brokers."""

    DIRECT = auto()
    PROXIED = auto()
    """Each broker tells clients the address of a proxy, and only brokers speak to it directly."""


@dataclass(frozen=True)
class Place:
    """Where a broker runs."""

    host: str = HOST
    """Address it listens on."""
    prefix: tuple[str, ...] = ()
    """Command that runs another one there, such as ``ip netns exec NAME``."""
    data: Path | None = None
    """Directory for its log; None is one beside its configuration."""


HERE = Place()


class Broker:
    """One broker and controller.

    Parameters
    ----------
    ports
        Shared by the brokers of a cluster, so that they get different ones.
    """

    def __init__(self, node_id: int, directory: Path, ports: PortBook, place: Place, access: Access) -> None:
        self.node_id = node_id
        self.place = place
        self.is_paused = False
        name = self._name = f"broker-{node_id}"
        self._home = Home(directory / name)
        self._plain = f"{place.host}:{ports.port(name)}"
        self.controller = f"{place.host}:{ports.port(f'{name}-controller')}"
        self.upstream = self._plain
        """Where its proxy, when it has one, connects to."""
        self.advertised = self._plain
        """Where clients are told to connect to; its proxy listens there."""
        if access is Access.PROXIED:
            self.upstream = f"{place.host}:{ports.port(f'{name}-behind-proxy')}"
            self.advertised = f"{HOST}:{ports.port(f'{name}-proxy')}"
        self._access = access
        self._process: Process | None = None

    @property
    def bootstrap(self) -> str:
        """Address for clients."""
        return self.advertised

    @property
    def direct(self) -> str:
        """Address that no proxy is in front of; metadata read there names direct addresses too."""
        return self._plain

    @property
    def data(self) -> Path:
        """Where it keeps its log."""
        return self.place.data or self._home.kafka / "data"

    @property
    def process(self) -> Process:
        """The JVM."""
        assert self._process is not None, "the broker was never started"
        return self._process

    @property
    def pid(self) -> int:
        """Of the JVM."""
        return self.process.pid

    @property
    def log(self) -> Path:
        """Output of all runs."""
        return self._home.log(self._name)

    @property
    def is_alive(self) -> bool:
        """Whether it runs; a paused one does."""
        return self._process is not None and self._process.is_alive

    def prepare(self, cluster_id: str, quorum: Sequence["Broker"], settings: Mapping[str, str]) -> None:
        """Write its configuration and format its storage; once, before the first start."""
        self._home.create()
        self._home.kafka.mkdir(exist_ok=True)
        write_atomically(self._home.kafka / "cluster.id", cluster_id.encode())
        kafka = EmbeddedKafka(
            self._home, PortBook(None), os.environ, {**settings, **self._settings(quorum)}, self._name
        )
        kafka.configure()
        formatting = kafka.format_unit()
        if formatting is not None:
            run_to_end(self._program(formatting), FORMAT_TIMEOUT_S)
            kafka.mark_formatted()
        self._process = self._program(kafka.unit())

    def start(self) -> None:
        """Start it on the log it has; does not wait until it answers (``Cluster.wait_ready``)."""
        self.is_paused = False
        self.process.start()

    def kill(self) -> None:
        """End it without warning."""
        self.is_paused = False
        self.process.kill()

    def stop(self) -> int | None:
        """End it in order: it hands its partitions over and closes its log."""
        self.is_paused = False
        return self.process.terminate(GONE_TIMEOUT_S)

    def pause(self) -> None:
        """Let it run no instruction, as a long garbage collection does; connections stay open."""
        self.is_paused = True
        self.process.pause()

    def resume(self) -> None:
        """Let it go on."""
        self.is_paused = False
        self.process.resume()

    def _settings(self, quorum: Sequence["Broker"]) -> dict[str, str]:
        listeners = {"PLAINTEXT": self._plain, "CONTROLLER": self.controller}
        advertised = {"PLAINTEXT": self._plain}
        if self._access is Access.PROXIED:
            listeners["PROXIED"], advertised["PROXIED"] = self.upstream, self.advertised
        return {
            "node.id": str(self.node_id),
            "controller.quorum.voters": ",".join(f"{one.node_id}@{one.controller}" for one in quorum),
            "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in listeners),
            "inter.broker.listener.name": "PLAINTEXT",
            "listeners": _urls(listeners),
            "advertised.listeners": _urls(advertised),
            "log.dirs": str(self.data),
        }

    def _program(self, unit: Unit) -> Process:
        return Process(
            (*self.place.prefix, *unit.argv),
            log=unit.log,
            env=unit.env,
            cwd=unit.cwd,
            stop_signal=unit.stop_signal,
        )


class Cluster:
    """All brokers of one Kafka.

    Parameters
    ----------
    directory
        Holds configurations and logs.
    count
        1, or 3 with every topic on all of them and two in sync for an acknowledgement.
    settings
        Broker settings that differ for this cluster.
    places
        Where each broker runs; empty is this network and ``directory``.
    """

    def __init__(
        self,
        directory: Path,
        count: int = 1,
        *,
        settings: Mapping[str, str] = MappingProxyType({}),
        places: Sequence[Place] = (),
        access: Access = Access.DIRECT,
    ) -> None:
        # Brokers that are down are the rule here; without a handler each refusal goes to stderr.
        logging.getLogger("aiokafka").addHandler(logging.NullHandler())
        ports = PortBook(None)
        self._settings = {**(THREE_BROKERS if count > 1 else {}), **settings}
        self.brokers = tuple(
            Broker(number, directory, ports, places[number - 1] if places else HERE, access)
            for number in range(1, count + 1)
        )

    @property
    def bootstrap(self) -> str:
        """Addresses for clients."""
        return ",".join(broker.bootstrap for broker in self.brokers)

    @property
    def direct(self) -> str:
        """Addresses that no proxy is in front of."""
        return ",".join(broker.direct for broker in self.brokers)

    @property
    def replication(self) -> int:
        """Copies of each topic."""
        return len(self.brokers)

    def start(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Start all brokers, formatted the first time, and wait until they answer."""
        if missing(locked_jars(), local_repository(os.environ)):
            run(sys.executable, "-m", "adapters.embedded.fetch_jars", timeout_s=FETCH_TIMEOUT_S)
        cluster_id = new_cluster_id()
        for broker in self.brokers:
            if broker._process is None:
                broker.prepare(cluster_id, self.brokers, self._settings)
        for broker in self.brokers:
            if not broker.is_alive:
                broker.start()
        self.wait_ready(timeout_s)

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Return once every running broker answers, knows the others, and every partition has a leader.

        Raises
        ------
        NotInTimeError
            They do not; the message holds what the brokers say.
        DidNotStartError
            No broker runs.
        """
        running = [broker for broker in self.brokers if broker.is_alive and not broker.is_paused]
        if not running:
            raise DidNotStartError(self._describe())
        try:
            wait_until(
                lambda: all(self._serves(one, len(running)) for one in running),
                "Kafka",
                timeout_s,
                ASK_AGAIN_S,
            )
        except NotInTimeError as error:
            raise NotInTimeError(f"{error}\n{self._describe()}") from None

    def wait_in_sync(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Return once every replica of every partition is in sync."""
        wait_until(self._is_in_sync, "all replicas in sync", timeout_s, ASK_AGAIN_S)

    def leader_of(self, topic: str, partition: int) -> Broker:
        """Give the broker that leads a partition now; a moment later it may be another one."""

        async def ask(admin: AIOKafkaAdminClient) -> int:
            (found,) = await admin.describe_topics([topic])
            leaders = {one["partition"]: int(one["leader"]) for one in found["partitions"]}
            if leaders.get(partition, -1) < 0:
                raise LeaderNotAvailableError(f"{topic}/{partition}")
            return leaders[partition]

        return self.broker(self.ask(ask))

    def coordinator_of(self, group: str) -> Broker:
        """Give the broker that coordinates a consumer group now."""

        async def ask(admin: AIOKafkaAdminClient) -> int:
            return int(await admin.find_coordinator(group))

        return self.broker(self.ask(ask))

    def broker(self, node_id: int) -> Broker:
        """Give a broker by its id."""
        return next(one for one in self.brokers if one.node_id == node_id)

    def ask(
        self, question: Callable[[AIOKafkaAdminClient], Awaitable[Answer]], timeout_s: float = 30.0
    ) -> Answer:
        """Ask the brokers that should answer, until one does.

        Raises
        ------
        NotInTimeError
            None did.
        """
        found: list[Answer] = []

        def answered() -> bool:
            places = [one.direct for one in self.brokers if one.is_alive and not one.is_paused]
            try:
                found.append(asyncio.run(_ask(",".join(places), question)))
            except (KafkaError, OSError, TimeoutError):
                return False
            return True

        wait_until(answered, "an answer of Kafka", timeout_s, ASK_AGAIN_S)
        return found[0]

    def close(self) -> None:
        """End all brokers for good, without ceremony."""
        for broker in self.brokers:
            if broker._process is not None:
                broker._process.kill_group()

    def _serves(self, broker: Broker, count: int) -> bool:
        """Tell whether a broker answers, knows as many, and knows a leader for every partition."""
        if not broker.is_alive or not _listens(broker.direct):
            return False

        async def ask(admin: AIOKafkaAdminClient) -> bool:
            known = (await admin.describe_cluster())["brokers"]
            topics = await admin.describe_topics()
            leads = all(part["leader"] >= 0 for topic in topics for part in topic["partitions"])
            return len(known) >= count and leads

        try:
            return asyncio.run(_ask(broker.direct, ask))
        except (KafkaError, OSError, TimeoutError):
            return False

    def _is_in_sync(self) -> bool:
        async def ask(admin: AIOKafkaAdminClient) -> list[dict[str, Any]]:
            return [part for topic in await admin.describe_topics() for part in topic["partitions"]]

        parts = self.ask(ask)
        return all(len(part["isr"]) == len(part["replicas"]) for part in parts)

    def _describe(self) -> str:
        return "\n".join(one._process.describe() for one in self.brokers if one._process is not None)


async def _ask(bootstrap: str, question: Callable[[AIOKafkaAdminClient], Awaitable[Answer]]) -> Answer:
    async with asyncio.timeout(ASK_TIMEOUT_S):
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=REQUEST_TIMEOUT_MS)
        try:
            await admin.start()
            return await question(admin)
        finally:
            await admin.close()


def _listens(address: str) -> bool:
    """Tell whether something accepts connections: quieter than a client, which logs each refusal."""
    host, _, port = address.rpartition(":")
    try:
        with closing(socket.create_connection((host, int(port)), timeout=1.0)):
            return True
    except OSError:
        return False


def _urls(listeners: Mapping[str, str]) -> str:
    return ",".join(f"{name}://{address}" for name, address in listeners.items())
