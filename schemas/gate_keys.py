"""By which keys a job's gates keep it, and how a ledger record shows that its job has such gates."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from core.gates.gate import Gate
from core.log import Headers
from penstock.identity import gate_home
from schemas.topics import RouteMap

GATES_HEADER = "gates"
"""Header of the ledger records that open a gated job (ACCEPTED, REDRIVEN): a ``GateKeys``."""


class GateKeys(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the logs of a job's gates are keyed by; None or empty where it has none."""

    tenant: str
    workflow_id: str | None = None
    ordering_key: str | None = None

    def places(self, routes: RouteMap) -> "list[GatePlace]":
        """Give the partition of each gate the job has, in the order of the gates."""
        places: list[GatePlace] = []
        if self.workflow_id is not None:
            number = gate_home(self.workflow_id, partitions=routes.partitions)
            places.append(GatePlace(Gate.WORKFLOW, routes.workflows, number))
        if self.ordering_key is not None:
            number = gate_home(self.tenant, self.ordering_key, partitions=routes.partitions)
            places.append(GatePlace(Gate.ORDER, routes.orders, number))
        return places


class GatePlace(NamedTuple):
    """A partition of the log of one gate."""

    gate: Gate
    topic: str
    partition: int


_encode: Callable[[object], bytes] = msgspec.json.Encoder().encode
decode_keys: Callable[[bytes], GateKeys] = msgspec.json.Decoder(GateKeys).decode


def keys_of(tenant: str, workflow_id: str | None, ordering_key: str | None) -> GateKeys | None:
    """Give the keys of a gated job; None for a job that has no such gate."""
    if workflow_id is None and ordering_key is None:
        return None
    return GateKeys(tenant, workflow_id, ordering_key)


def gates_header(keys: GateKeys | None) -> Headers:
    """Make the header by which the scheduler knows a gated job in the ledger."""
    return () if keys is None else ((GATES_HEADER, _encode(keys)),)
