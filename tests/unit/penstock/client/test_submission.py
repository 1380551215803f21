"""A job to the bytes of its record."""

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from core.log import Record
from penstock.client.errors import InvalidJob
from penstock.client.submission import canonical_id, encode_job
from penstock.identity import job_id_from_key
from schemas.job_parser import ParsedJob, parse_job
from services.ingest.decide import Accepted, IngestContext, decide

ID = "6f1c9a52-8d0b-5c7e-9b1e-3f6d2a4c8e10"
FULL: dict[str, Any] = {
    "type": "email.send",
    "payload": {"to": ["a", None, 1.5, {"b": "\\u0000"}]},
    "tenant": "acme",
    "priority": 9,
    "run_at": datetime(2030, 1, 1, tzinfo=UTC),
    "deadline": "2030-01-02T00:00:00+01:00",
    "expires_at": datetime(2030, 1, 3, tzinfo=UTC),
    "timeout_s": 2.5,
    "max_attempts": 3,
    "pool": "default",
    "sensitive": ("/to",),
    "labels": {"a": "b"},
}


def test_the_record_of_a_full_job_is_what_the_contract_takes() -> None:
    parsed = parse_job(encode_job(FULL).value)
    assert isinstance(parsed, ParsedJob)
    assert parsed.job.priority == 9
    assert parsed.job.run_at == FULL["run_at"]
    assert json.loads(bytes(parsed.payload)) == FULL["payload"]


def test_options_of_none_are_left_out_but_a_payload_of_none_is_a_payload() -> None:
    encoded = encode_job({"type": "a", "payload": None, "tenant": None, "labels": None})
    assert json.loads(encoded.value) == {"type": "a", "payload": None}


@pytest.mark.parametrize(
    "members",
    [{"idempotency_key": "k"}, {"idempotency_key": "k", "tenant": "acme"}, {"job_id": ID.upper()}],
)
def test_the_id_known_before_sending_is_the_one_ingest_gives(members: dict[str, Any]) -> None:
    encoded = encode_job({"type": "a", **members})
    record = Record("jobs", 0, 7, 1, None, encoded.value, ())
    decision = decide(record, IngestContext("e", 4, frozenset({"default"})))
    assert isinstance(decision, Accepted)
    assert encoded.job_id == decision.job.job_id


def test_a_job_without_key_and_id_is_named_by_its_origin_later() -> None:
    assert encode_job({"type": "a"}).job_id is None
    assert encode_job({"type": "a", "idempotency_key": "k"}).job_id == job_id_from_key("default", "k")


def test_the_trace_context_travels_as_a_header_and_not_in_the_value() -> None:
    encoded = encode_job({"type": "a", "traceparent": "00-1-2-01"})
    assert encoded.headers == (("traceparent", b"00-1-2-01"),)
    assert json.loads(encoded.value) == {"type": "a"}


@pytest.mark.parametrize(
    ("members", "names"),
    [
        ({"payload": {"a": [1.0, float("nan")]}}, "payload.a.1"),
        ({"payload": {"b": None, "a": float("inf")}}, "payload.a"),
        ({"timeout_s": float("-inf")}, "timeout_s"),
        ({"payload": {"a": object()}}, "not JSON"),
        ({"payload": {1: "a"}}, "not JSON"),
        ({"payload": 2**65}, "not JSON"),
        ({"payload": "\ud800"}, "not JSON"),
        ({"payload": ["a\x00b"]}, "NUL"),
        ({"payload": "x" * 262_144}, "262144 are allowed"),
        ({"run_at": datetime(2030, 1, 1)}, "run_at"),  # noqa: DTZ001 - the fault under test
        ({"job_id": "seven"}, "UUID"),
        ({"job_id": ID, "idempotency_key": "k"}, "together"),
    ],
)
def test_what_cannot_be_sent_is_refused_naming_what_is_wrong(members: dict[str, Any], names: str) -> None:
    with pytest.raises(InvalidJob, match=names):
        encode_job({"type": "a", **members})


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    assert encode_job({"type": "a", "payload": "\\u0000"}).value


def test_an_id_is_written_in_its_canonical_form() -> None:
    assert canonical_id(uuid.UUID(ID)) == canonical_id(ID.upper()) == ID
