import msgspec
import pytest

from core.gates.ended import Ended
from core.gates.gate import Gate
from core.gates.order_gate import KeyReleased
from core.ledger.notes import Waiting
from core.ledger.verdicts import Redriven
from core.log import NewRecord, Record
from core.states import State
from core.wheel import TICK_MS
from penstock.identity import gate_home, home
from schemas.acceptance import accepted_note
from schemas.accepted_job import AcceptedJob, DelayedJob
from schemas.codec import decode_event, ledger_record
from schemas.gate_keys import GATES_HEADER, decode_keys, gates_header, keys_of
from schemas.gates import ended_record, key_released_record
from schemas.routing import begins_at_home, gates_of, onward
from schemas.topics import RouteMap

ROUTES = RouteMap(partitions=8)
NOW_MS = 1_700_000_000_000
ID = "0189c1f0-0000-7000-8000-000000000001"


def a_job(**changes: object) -> AcceptedJob:
    job = AcceptedJob(
        origin="e:0:1",
        job_id=ID,
        type="email.send",
        tenant="acme",
        pool="default",
        payload=msgspec.Raw(b'{"to": "a@b.c"}'),
        priority=5,
        submitted_ms=NOW_MS,
        timeout_s=300,
        max_attempts=5,
        body_hash=f"{7:016x}",
        trace_id="0" * 31 + "1",
    )
    return msgspec.structs.replace(job, **changes)


LATER = {"run_at_ms": NOW_MS + 5000}
EVERYTHING = {"workflow_id": "w", "ordering_key": "k", "idempotency_key": "i", **LATER}


@pytest.mark.parametrize(
    ("fields", "gates", "at_home"),
    [
        ({}, (), False),
        ({"run_at_ms": NOW_MS}, (), False),
        (LATER, (Gate.DUE,), True),
        ({"ordering_key": "k"}, (Gate.ORDER,), False),
        ({"ordering_key": "k", **LATER}, (Gate.DUE, Gate.ORDER), True),
        ({"ordering_key": "k", "expires_at_ms": NOW_MS + 9}, (Gate.DUE, Gate.ORDER), True),
        ({"workflow_id": "w", **LATER}, (Gate.WORKFLOW, Gate.DUE), False),
        ({"workflow_id": "w", "expires_at_ms": NOW_MS + 9}, (Gate.WORKFLOW, Gate.DUE), True),
        (EVERYTHING, tuple(Gate), True),
    ],
)
def test_gates_of_a_job_in_order_and_where_it_begins(
    fields: dict[str, object], gates: tuple[Gate, ...], at_home: bool
) -> None:
    job = a_job(**fields)
    assert gates_of(job, NOW_MS) == gates
    assert begins_at_home(job, gates) is at_home


def way(job: AcceptedJob, now_ms: int = NOW_MS) -> list[str]:
    """The topics a job passes when each gate lets it on at once and the wheel does as it was told."""
    topics, passed = [], None
    after = {ROUTES.workflows: Gate.WORKFLOW, ROUTES.orders: Gate.ORDER}
    while True:
        record = onward(ROUTES, job, passed, now_ms)[-1]
        if record.topic in ROUTES.delays:
            delayed = msgspec.json.decode(record.value or b"", type=DelayedJob)
            assert delayed.job == job
            topics.append(f"wheel, then {delayed.then}")
            passed = Gate.DUE
        elif record.topic == ROUTES.ready:
            return [*topics, record.topic]
        else:
            topics.append(record.topic)
            passed = after[record.topic]


def test_a_job_passes_all_its_gates_in_their_order() -> None:
    assert way(a_job(**EVERYTHING)) == ["jobs.workflows", "wheel, then order", "jobs.orders", "jobs.ready"]
    assert way(a_job(**EVERYTHING), NOW_MS + 5000) == ["jobs.workflows", "jobs.orders", "jobs.ready"]
    assert way(a_job(**LATER)) == ["wheel, then ready", "jobs.ready"]
    assert way(a_job()) == ["jobs.ready"]


def test_a_job_that_waits_for_its_time_says_so() -> None:
    note, delayed = onward(ROUTES, a_job(**LATER), Gate.ID, NOW_MS)
    assert decode_event(_as_read(note)) == Waiting("e:0:1", ID, on="due", due_ms=NOW_MS + 5000)
    assert delayed.partition == note.partition == home(ID, 8)
    assert TICK_MS < 5000


def test_a_job_enters_whole_at_the_partition_of_its_key() -> None:
    job = a_job(ordering_key="k")
    (entered,) = onward(ROUTES, job, None, NOW_MS)
    assert entered.partition == gate_home("acme", "k", partitions=8)
    assert msgspec.json.decode(entered.value or b"", type=AcceptedJob) == job
    assert dict(entered.headers)["kind"] == b"ENTERED"
    released = key_released_record(ROUTES, KeyReleased("acme", "k", job.origin, "ada"))
    assert (released.topic, released.partition) == (entered.topic, entered.partition)


def test_keys_of_two_tenants_are_two_keys() -> None:
    homes = {gate_home(tenant, "k", partitions=64) for tenant in ("a", "b", "c")}
    assert len(homes) > 1
    assert gate_home("a", "bk", partitions=1 << 32) != gate_home("ab", "k", partitions=1 << 32)


def test_ledger_records_that_open_a_gated_job_name_its_gates_and_others_carry_no_such_header() -> None:
    plain = ledger_record(ROUTES, accepted_note(a_job()))
    assert GATES_HEADER not in dict(plain.headers)
    gated = ledger_record(ROUTES, accepted_note(a_job(ordering_key="k", workflow_id="w")))
    keys = decode_keys(dict(gated.headers)[GATES_HEADER])
    assert [(place.gate, place.topic) for place in keys.places(ROUTES)] == [
        (Gate.WORKFLOW, ROUTES.workflows),
        (Gate.ORDER, ROUTES.orders),
    ]
    again = Redriven("e:0:1", ID, 2, "jobs.dead", 0, 0, "ada")
    record = ledger_record(ROUTES, again, gates_header(keys_of("acme", None, "k")))
    (place,) = decode_keys(dict(record.headers)[GATES_HEADER]).places(ROUTES)
    told = ended_record(place, Ended("e:0:1", ID, 2, State.DEAD, 3, 9))
    assert (told.topic, told.partition) == (ROUTES.orders, gate_home("acme", "k", partitions=8))


def _as_read(record: NewRecord) -> Record:
    return Record(record.topic, record.partition, 0, 0, record.key, record.value, record.headers)
