"""Records of the gates that have a log of their own."""

from core.gates.ended import ENDED_KIND, ENTERED_KIND, Ended
from core.gates.gate import Gate
from core.gates.order_gate import RELEASED_KIND, KeyReleased
from core.gates.workflow_records import TICK_KIND, Tick
from core.log import NewRecord
from penstock.identity import gate_home
from schemas.accepted_job import AcceptedJob
from schemas.codec import encode, job_record
from schemas.gate_keys import GATES_HEADER, GateKeys, GatePlace
from schemas.topics import RouteMap


def opens_gated(record: NewRecord) -> bool:
    """Whether a record tells the ledger that a gated job begins."""
    # ``ledger_record`` puts it last; this is asked of every record handed over.
    return bool(record.headers) and record.headers[-1][0] == GATES_HEADER


def entered_record(routes: RouteMap, gate: Gate, job: AcceptedJob) -> NewRecord:
    """Make the record with which ``job`` enters a gate it has."""
    keys = GateKeys(job.tenant, job.workflow_id, job.ordering_key)
    place = next(place for place in keys.places(routes) if place.gate is gate)
    return job_record(place.topic, place.partition, job, job, ENTERED_KIND)


def ended_record(place: GatePlace, ended: Ended) -> NewRecord:
    """Make the record that tells a gate of an end."""
    headers = (("schema", b"1"), ("kind", ENDED_KIND), ("origin", ended.origin.encode()))
    return NewRecord(place.topic, place.partition, ended.job_id.encode(), encode(ended), headers)


def tick_record(routes: RouteMap, partition: int, tick: Tick) -> NewRecord:
    """Make the record that tells one partition of the workflow gate that time has passed."""
    headers = (("schema", b"1"), ("kind", TICK_KIND))
    return NewRecord(routes.workflows, partition, None, encode(tick), headers)


def key_released_record(routes: RouteMap, released: KeyReleased) -> NewRecord:
    """Make the record with which a person lets a blocked ordering key go on."""
    number = gate_home(released.tenant, released.ordering_key, partitions=routes.partitions)
    headers = (("schema", b"1"), ("kind", RELEASED_KIND))
    return NewRecord(routes.orders, number, released.ordering_key.encode(), encode(released), headers)
