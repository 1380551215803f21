"""Brokers and database as a layout asks: plain, behind proxies, in namespaces, on small disks."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit, urlunsplit

from adapters.embedded.loopback import HOST, PortBook
from tests.chaos.rig.disk import Tmpfs
from tests.chaos.rig.kafka import Access, Cluster, Place
from tests.chaos.rig.network import Namespace, Network
from tests.chaos.rig.postgres import Postgres
from tests.chaos.rig.proxy import Proxy, Toxiproxy
from tests.chaos.spec import Layout, StackSpec

KAFKA_DISK_MB = 64
"""Of one broker: its topics, their indexes and some minutes of load."""
POSTGRES_DISK_MB = 160
"""A new cluster takes 40 MB and its write-ahead log up to as much again."""


@dataclass(frozen=True)
class Servers:
    """What a stack runs on, and what a layout put in between.

    Attributes
    ----------
    database_url
        Address the services are given.
    proxies
        In front of each broker, in their order.
    namespaces
        Of each broker, in their order.
    disk
        What the log of the broker, or the database, is on.
    """

    cluster: Cluster
    postgres: Postgres
    database_url: str
    proxies: tuple[Proxy, ...] = ()
    database_proxy: Proxy | None = None
    namespaces: tuple[Namespace, ...] = ()
    disk: Tmpfs | None = None

    def namespace_of(self, node_id: int) -> Namespace:
        """Give the namespace a broker is in."""
        return self.namespaces[node_id - 1]


def start_servers(spec: StackSpec, directory: Path, exits: ExitStack) -> Servers:
    """Start brokers and database; ``exits`` stops and removes all of it, what was made last first."""
    return _BUILDERS[spec.layout](_Site(spec, directory, exits))


@dataclass(frozen=True)
class _Site:
    """Where and of what a stack's servers are made."""

    spec: StackSpec
    directory: Path
    exits: ExitStack

    def cluster(self, places: tuple[Place, ...] = ()) -> Cluster:
        cluster = Cluster(
            self.directory / "kafka", self.spec.brokers, settings=self.spec.kafka, places=places
        )
        return self.started(cluster)

    def started(self, cluster: Cluster) -> Cluster:
        self.exits.callback(cluster.close)
        cluster.start()
        return cluster

    def postgres(
        self, place: Path | None = None, settings: Mapping[str, str] = MappingProxyType({})
    ) -> Postgres:
        postgres = Postgres(
            place or self.directory / "database", logs=self.directory / "logs", settings=settings
        )
        self.exits.callback(postgres.close)
        postgres.start()
        return postgres

    def toxiproxy(self) -> Toxiproxy:
        toxiproxy = Toxiproxy(self.directory / "logs" / "toxiproxy.log")
        self.exits.callback(toxiproxy.close)
        toxiproxy.start()
        return toxiproxy

    def disk(self, name: str, size_mb: int) -> Tmpfs:
        disk = Tmpfs(self.directory / name, size_mb)
        self.exits.callback(disk.unmount)
        disk.mount()
        return disk


def _plain(site: _Site) -> Servers:
    cluster, postgres = site.cluster(), site.postgres()
    return Servers(cluster, postgres, postgres.url)


def _proxied(site: _Site) -> Servers:
    toxiproxy = site.toxiproxy()
    cluster = Cluster(
        site.directory / "kafka", site.spec.brokers, settings=site.spec.kafka, access=Access.PROXIED
    )
    proxies = tuple(
        toxiproxy.proxy(f"broker-{one.node_id}", one.advertised, one.upstream) for one in cluster.brokers
    )
    site.started(cluster)
    postgres = site.postgres()
    return Servers(cluster, postgres, postgres.url, proxies=proxies)


def _postgres_proxied(site: _Site) -> Servers:
    cluster, postgres = site.cluster(), site.postgres()
    address = urlsplit(postgres.url)
    listen = f"{HOST}:{PortBook(None).port('postgres-proxy')}"
    proxy = site.toxiproxy().proxy("postgres", listen, f"{address.hostname}:{address.port}")
    secret, _, _ = address.netloc.rpartition("@")
    url = urlunsplit(address._replace(netloc=f"{secret}@{listen}"))
    return Servers(cluster, postgres, url, database_proxy=proxy)


def _namespaces(site: _Site) -> Servers:
    network = Network(site.spec.brokers)
    site.exits.callback(network.close)
    network.open()
    cluster = site.cluster(tuple(Place(one.address, one.prefix) for one in network.namespaces))
    postgres = site.postgres()
    return Servers(cluster, postgres, postgres.url, namespaces=network.namespaces)


def _kafka_on_small_disk(site: _Site) -> Servers:
    disk = site.disk("kafka-disk", KAFKA_DISK_MB)
    cluster = site.cluster((Place(data=disk.path / "log"),))
    postgres = site.postgres()
    return Servers(cluster, postgres, postgres.url, disk=disk)


def _postgres_on_small_disk(site: _Site) -> Servers:
    cluster = site.cluster()
    disk = site.disk("database-disk", POSTGRES_DISK_MB)
    postgres = site.postgres(disk.path, {"max_wal_size": "32MB", "shared_buffers": "32MB"})
    return Servers(cluster, postgres, postgres.url, disk=disk)


_BUILDERS: Mapping[Layout, Callable[[_Site], Servers]] = MappingProxyType(
    {
        Layout.PLAIN: _plain,
        Layout.PROXIED: _proxied,
        Layout.NAMESPACES: _namespaces,
        Layout.POSTGRES_PROXIED: _postgres_proxied,
        Layout.TMPFS_KAFKA: _kafka_on_small_disk,
        Layout.TMPFS_POSTGRES: _postgres_on_small_disk,
    }
)
