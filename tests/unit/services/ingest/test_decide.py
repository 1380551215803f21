import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from core.gates.dependencies import OnParentFailure, ParentGroup
from core.gates.gate import Gate
from core.gates.order_gate import OnBusy
from core.log import UNREADABLE_HEADER, Coordinate, Headers, Record
from penstock.identity import Origin, home, job_id_from_key, job_id_from_origin
from schemas.job_parser import ParsedJob, parse_job
from schemas.rejection import Reason, Rejection
from schemas.routing import begins_at_home
from services.ingest.decide import (
    HEADERS_MAX_BYTES,
    Accepted,
    IngestContext,
    Rejected,
    decide,
    decide_batch,
)

NOW_MS = 1_780_000_000_000
BEFORE, AFTER = "2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z"
AFTER_MS = 1_893_456_000_000
UUID = "0190c5f2-7d1e-7abc-8def-0123456789ab"
CONTEXT = IngestContext("e1", 4, frozenset({"default", "gpu"}))


def raw_record(value: bytes | None, *, key: bytes | None = None, headers: Headers = ()) -> Record:
    return Record("jobs", 2, 41, NOW_MS, key, value, headers)


def record(**fields: Any) -> Record:
    return raw_record(json.dumps({"type": "email.send", **fields}).encode())


def accepted(record: Record, context: IngestContext = CONTEXT) -> Accepted:
    decision = decide(record, context)
    assert isinstance(decision, Accepted), decision
    return decision


def rejected(record: Record, context: IngestContext = CONTEXT) -> Rejected:
    decision = decide(record, context)
    assert isinstance(decision, Rejected), decision
    return decision


def test_a_plain_job_is_ready_at_its_home_under_an_id_made_from_its_origin() -> None:
    decision = accepted(record(payload={"to": "x"}))
    assert decision.job.origin == "e1:2:41"
    assert decision.job.job_id == job_id_from_origin(Origin("e1", 2, 41), NOW_MS)
    assert decision.home == home(decision.job.job_id, 4)
    assert decision.gates == ()
    assert not begins_at_home(decision.job, decision.gates)
    assert (decision.job.n, decision.job.attempt, decision.job.submitted_ms) == (1, 1, NOW_MS)
    assert len(decision.job.body_hash) == 16


def test_the_same_key_of_one_tenant_is_the_same_job_wherever_it_was_appended() -> None:
    one = accepted(record(idempotency_key="k", tenant="acme"))
    two = accepted(record(idempotency_key="k", tenant="acme")._replace(partition=0, offset=7))
    other = accepted(record(idempotency_key="k", tenant="other"))
    assert one.job.job_id == two.job.job_id == job_id_from_key("acme", "k")
    assert one.job.body_hash == two.job.body_hash
    assert one.job.origin != two.job.origin
    assert other.job.job_id != one.job.job_id


def test_another_body_under_the_same_key_has_another_hash() -> None:
    one = accepted(record(idempotency_key="k", payload={"a": 1}))
    two = accepted(record(idempotency_key="k", payload={"a": 2}))
    assert one.job.body_hash != two.job.body_hash


def test_the_hash_of_the_body_ignores_order_and_white_space() -> None:
    one = accepted(raw_record(b'{"type":"a","payload":{"x":1,"y":2}}'))
    two = accepted(raw_record(b'{ "payload": {"y": 2, "x": 1}, "type": "a" }'))
    assert one.job.body_hash == two.job.body_hash


def test_a_supplied_id_is_kept_and_its_repeats_are_looked_for() -> None:
    decision = accepted(record(job_id=UUID.upper()))
    assert (decision.job.job_id, decision.job.supplied_id) == (UUID, True)
    assert decision.gates == (Gate.ID,)


@pytest.mark.parametrize(
    ("fields", "gates"),
    [
        ({"run_at": BEFORE}, ()),
        ({"run_at": AFTER}, (Gate.DUE,)),
        ({"expires_at": AFTER}, (Gate.DUE,)),
        ({"expires_at": BEFORE}, (Gate.DUE,)),
        ({"deadline": AFTER}, ()),
        ({"idempotency_key": "k"}, (Gate.ID,)),
        ({"idempotency_key": "k", "run_at": AFTER}, (Gate.ID, Gate.DUE)),
        ({"ordering_key": "o"}, (Gate.ORDER,)),
        ({"ordering_key": "o", "run_at": AFTER, "job_id": UUID}, (Gate.ID, Gate.DUE, Gate.ORDER)),
    ],
)
def test_gates_follow_from_the_job_and_the_brokers_time(
    fields: dict[str, Any], gates: tuple[Gate, ...]
) -> None:
    decision = accepted(record(**fields))
    assert decision.gates == gates
    assert begins_at_home(decision.job, gates) is (set(gates) - {Gate.ORDER} != set())


def test_a_job_due_at_the_very_moment_of_its_record_does_not_wait() -> None:
    due = accepted(record(run_at="2026-05-28T20:26:40Z"))
    assert (due.job.run_at_ms, due.gates) == (NOW_MS, ())
    later = accepted(record(run_at="2026-05-28T20:26:40.0001Z"))
    assert (later.job.run_at_ms, later.gates) == (NOW_MS + 1, (Gate.DUE,))


def test_the_note_says_what_the_job_says() -> None:
    fields = {"tenant": "acme", "pool": "gpu", "priority": 9, "timeout_s": 2.5, "max_attempts": 2}
    decision = accepted(record(**fields, deadline=AFTER, labels={"team": "x"}, payload=[1, 2]))
    job, note = decision.job, decision.note
    assert note is not None
    shared = set(type(note).__struct_fields__) & set(type(job).__struct_fields__) - {"payload"}
    assert {"tenant", "pool", "priority", "deadline_ms", "labels", "trace_id", "submitted_ms"} <= shared
    assert all(getattr(job, name) == getattr(note, name) for name in shared)
    assert job.deadline_ms == AFTER_MS
    assert bytes(note.payload) == bytes(job.payload) == b"[1, 2]"
    assert note.payload_bytes == 6


def test_the_note_is_masked_and_the_job_is_not() -> None:
    payload = {"card": {"number": "4111-1111"}, "to": "x"}
    decision = accepted(record(payload=payload, sensitive=["/card/number"]))
    assert decision.note is not None
    assert json.loads(bytes(decision.note.payload)) == {"card": {"number": "***"}, "to": "x"}
    assert json.loads(bytes(decision.job.payload)) == payload
    assert decision.job.sensitive == ("/card/number",)
    assert b"4111" not in msgspec.json.encode(decision.note)
    assert decision.note.payload_bytes == len(bytes(decision.job.payload))


def test_the_producers_trace_goes_on() -> None:
    header = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    job = accepted(record()._replace(headers=(("traceparent", header),))).job
    assert (job.traceparent, job.trace_id) == (header.decode(), "4bf92f3577b34da6a3ce929d0e0e4736")
    assert accepted(record()).job.trace_id != job.trace_id


def test_a_null_record_is_rejected() -> None:
    decision = rejected(raw_record(None, key=b"k"))
    assert decision.reason is Reason.NULL_RECORD
    assert decision.record.coordinate == Coordinate("jobs", 2, 41)
    assert decision.partition == 2
    assert "cancel" in decision.record.remedy


@pytest.mark.parametrize("excess", [0, 1])
def test_size_counts_value_key_and_headers(excess: int) -> None:
    plain = record()
    size = len(plain.value or b"") + 3 + 1 + 5
    full = plain._replace(key=b"key", headers=(("h", b"x" * (5 + excess)),))
    decision = decide(full, replace(CONTEXT, record_max_bytes=size))
    if not excess:
        assert isinstance(decision, Accepted)
        return
    assert isinstance(decision, Rejected)
    assert decision.reason is Reason.TOO_LARGE
    assert f"{size + 1} bytes" in decision.record.message
    assert str(size) in decision.record.message


def test_what_the_parser_refuses_is_rejected_with_field_remedy_and_bytes() -> None:
    kept = rejected(record(priority=11)).record
    assert (kept.reason, kept.field, kept.value_excerpt) == ("invalid_value", "priority", "11")
    assert "0 (background) to 9 (critical)" in kept.remedy
    assert kept.value_base64


def test_an_unknown_pool_is_rejected_naming_the_known_ones() -> None:
    kept = rejected(record(pool="gpus")).record
    assert (kept.reason, kept.field, kept.value_excerpt) == ("unknown_pool", "pool", "gpus")
    assert "default, gpu" in kept.remedy


def test_a_job_of_a_workflow_carries_what_it_depends_on_to_its_gate_and_into_its_row() -> None:
    decision = accepted(record(workflow_id="w", depends_on=[UUID], group="g", on_parent_failure="run"))
    assert decision.gates == (Gate.WORKFLOW,)
    for said in (decision.job, decision.note):
        assert said is not None
        assert (said.workflow_id, said.depends_on, said.group) == ("w", (UUID,), "g")
        assert said.on_parent_failure is OnParentFailure.RUN
    group = accepted(record(workflow_id="w", depends_on={"group": "g", "count": 3}))
    assert group.job.depends_on == ParentGroup("g", 3)


def test_a_job_with_an_ordering_key_carries_it_to_its_gate_and_into_its_row() -> None:
    decision = accepted(record(ordering_key="o", on_busy="skip", tenant="acme"))
    assert (decision.job.ordering_key, decision.job.on_busy) == ("o", OnBusy.SKIP)
    assert decision.note is not None
    assert decision.note.ordering_key == "o"
    assert accepted(record(ordering_key="o")).job.on_busy is OnBusy.WAIT


def test_what_happens_when_a_key_is_busy_is_no_question_without_a_key() -> None:
    kept = rejected(record(on_busy="skip")).record
    assert (kept.reason, kept.field) == (Reason.CONTRADICTION, "on_busy")
    assert "ordering_key" in kept.remedy
    assert accepted(record(on_busy="wait"))


def test_empty_dependencies_are_none() -> None:
    assert accepted(record(depends_on=[], workflow_id=None))


def test_a_header_without_a_value_holds_up_nothing() -> None:
    header: Any = (("empty", None),)
    assert accepted(record()._replace(headers=header))
    assert rejected(raw_record(b"?", headers=header)).record.headers_base64 == (("empty", ""),)


def test_a_batch_decides_each_record_on_its_own_and_keeps_the_order() -> None:
    values = [b"{", b'{"type":"a"}', None, b'{"type":"b"}']
    records = [raw_record(value)._replace(offset=offset) for offset, value in enumerate(values)]
    batch = decide_batch(records, CONTEXT)
    assert [decision.job.type for decision in batch.accepted] == ["a", "b"]
    assert [decision.record.offset for decision in batch.rejected] == [0, 2]


def test_a_defect_of_our_own_stops_neither_the_batch_nor_loses_the_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def defective(raw: bytes) -> ParsedJob | Rejection:
        if b"evil" in raw:
            raise KeyError("secret detail")
        return parse_job(raw)

    monkeypatch.setattr("services.ingest.decide.parse_job", defective)
    batch = decide_batch([raw_record(b'{"type":"evil"}'), raw_record(b'{"type":"good"}')], CONTEXT)
    assert [decision.job.type for decision in batch.accepted] == ["good"]
    kept = batch.rejected[0].record
    assert kept.reason == "internal_error"
    assert "KeyError" in kept.message
    assert "secret detail" not in kept.message
    assert kept.value_base64


@pytest.mark.parametrize(("epoch", "partitions", "pools"), [("", 4, {"a"}), ("e", 0, {"a"}), ("e", 4, set())])
def test_a_context_that_would_refuse_every_job_cannot_be_made(
    epoch: str, partitions: int, pools: set[str]
) -> None:
    with pytest.raises(ValueError, match="needs"):
        IngestContext(epoch, partitions, frozenset(pools))


def test_a_job_with_an_idempotency_key_gets_its_note_from_the_id_gate() -> None:
    decision = accepted(record(idempotency_key="k"))
    assert (decision.note, decision.gates) == (None, (Gate.ID,))


def test_a_record_that_cannot_be_parsed_is_rejected_by_its_coordinate() -> None:
    stand_in = Record("jobs", 2, 9, 0, None, None, ((UNREADABLE_HEADER, b"a header name is not UTF-8"),))
    decision = decide(stand_in, CONTEXT)
    assert isinstance(decision, Rejected)
    assert decision.reason is Reason.UNREADABLE
    assert decision.record.coordinate == ("jobs", 2, 9)
    assert "header name" in decision.record.message


def test_short_text_headers_travel_with_the_job() -> None:
    headers: Headers = (
        ("x-request-id", b"r1"),
        ("x-request-id", b"r2"),
        ("traceparent", b"nonsense"),
        ("binary", b"\xff\x00"),
        ("empty", b""),
        ("long", b"x" * HEADERS_MAX_BYTES),
        ("late", b"y"),
    )
    assert accepted(record()._replace(headers=headers)).job.headers == {"x-request-id": "r1"}
    assert accepted(record()).job.headers == {}
