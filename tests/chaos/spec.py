"""What a stack is built of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from typing_extensions import override

NOTHING: Mapping[str, str] = MappingProxyType({})


class Layout(Enum):
    """What stands between the services and their servers."""

    PLAIN = "plain"
    PROXIED = "clients reach brokers through a proxy"
    NAMESPACES = "every broker in a network namespace of its own"
    POSTGRES_PROXIED = "the database is reached through a proxy"
    TMPFS_KAFKA = "the brokers' logs on a small file system"
    TMPFS_POSTGRES = "the database on a small file system"


@dataclass(frozen=True)
class StackSpec:
    """What a stack is built of; scenarios with equal ones share a stack.

    Attributes
    ----------
    kafka
        Broker settings beside the usual ones.
    services
        More environment by service; the empty name is all of them.
    learning
        Whether what only learns from jobs runs, too.
    """

    brokers: int = 1
    executors: int = 2
    slots: int = 8
    workers: int = 1
    partitions: int = 4
    lease_s: float = 6.0
    heartbeat_s: float = 0.5
    kafka: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    services: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))
    layout: Layout = Layout.PLAIN
    learning: bool = False

    @override
    def __hash__(self) -> int:
        return hash(repr(self))
