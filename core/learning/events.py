"""What happens to dispatches, as learning sees it, and the keys whose history it becomes."""

from enum import IntEnum
from typing import NamedTuple


class Status(IntEnum):
    """How a dispatch ended."""

    OK = 0
    FAILED = 1
    CANCELLED = 2
    LOST = 3
    EXPIRED = 4


DID_NOT_RUN = -1
"""``run_ms`` of a dispatch that ended before it ran, or of whose run nobody can tell."""


class Submitted(NamedTuple):
    """A dispatch became ready. ``(origin, n)`` names it, so that saying it twice counts once."""

    at_ms: int
    """Broker time at which it became ready, ms since 1970."""
    origin: str
    n: int
    payload_bytes: int = 0


class Ended(NamedTuple):
    """A dispatch ended. ``(origin, n)`` names it, so that saying it twice counts once."""

    at_ms: int
    """Broker time of the end, ms since 1970."""
    origin: str
    n: int
    run_ms: int
    """How long it ran, >= 0; of one that was stopped at its limit, the limit. Else ``DID_NOT_RUN``."""
    status: Status
    ready_ms: int
    """When this dispatch became ready: ``at_ms`` of its ``Submitted``."""


Event = Submitted | Ended


class Kind(IntEnum):
    """What a key's history is about. The order is that of the features."""

    EVERYTHING = 0
    TENANT = 1
    TYPE = 2
    TENANT_TYPE = 3
    NAME = 4


class Key(NamedTuple):
    """Something that has a history of its own."""

    kind: Kind
    tenant: str = ""
    type: str = ""
    name: str = ""


Keys = tuple[Key, ...]


def keys_of(tenant: str, type_: str, name: str = "") -> Keys:
    """Give the keys a job belongs to, in the order of ``Kind``; the last is left out without a name."""
    keys = (
        Key(Kind.EVERYTHING),
        Key(Kind.TENANT, tenant=tenant),
        Key(Kind.TYPE, type=type_),
        Key(Kind.TENANT_TYPE, tenant=tenant, type=type_),
    )
    return (*keys, Key(Kind.NAME, tenant=tenant, type=type_, name=name)) if name else keys
