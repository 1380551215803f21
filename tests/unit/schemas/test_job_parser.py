import json
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.job_parser import FIELDS, ParsedJob, parse_job
from schemas.rejection import Reason, Rejection

UUID = "0190c5f2-7d1e-7abc-8def-0123456789ab"
OTHER_UUID = "0190c5f2-7d1e-7abc-8def-0123456789ac"


def parsed(**fields: Any) -> ParsedJob:
    answer = parse_job(json.dumps({"type": "email.send", **fields}).encode())
    assert isinstance(answer, ParsedJob), answer
    return answer


def refused(**fields: Any) -> Rejection:
    answer = parse_job(json.dumps({"type": "email.send", **fields}).encode())
    assert isinstance(answer, Rejection), answer
    return answer


def test_only_the_type_is_required_and_the_rest_has_defaults() -> None:
    job = parsed().job
    assert (job.type, job.tenant, job.pool) == ("email.send", "default", "default")
    assert (job.priority, job.timeout_s, job.max_attempts) == (5, 300, 5)
    assert (job.job_id, job.idempotency_key, job.run_at, job.deadline, job.expires_at) == (None,) * 5
    assert (job.depends_on, job.sensitive, job.labels) == ((), (), {})
    assert bytes(parsed().payload) == b"{}"


def test_null_means_absent_for_fields_without_another_default() -> None:
    names = ("job_id", "idempotency_key", "run_at", "deadline", "expires_at", "workflow_id", "ordering_key")
    assert parsed(**dict.fromkeys(names)).job == parsed().job


@pytest.mark.parametrize(
    "payload",
    [
        b'{ "a" : 1.50 ,\n"b": [1E2, "\\u00e9"] }',
        b"null",
        b'"text"',
        b"[ ]",
        b"0.10",
        b"18446744073709551615",
    ],
)
def test_the_payload_is_carried_byte_for_byte(payload: bytes) -> None:
    answer = parse_job(
        b'{"type": "a", "labels": {"payload": "x"}, "payload" :\t' + payload + b' , "priority": 1}'
    )
    assert isinstance(answer, ParsedJob)
    assert bytes(answer.payload) == payload


def test_the_payload_is_found_under_an_escaped_name() -> None:
    answer = parse_job(b'{"type": "a", "pay\\u006coad": [1]}')
    assert isinstance(answer, ParsedJob)
    assert bytes(answer.payload) == b"[1]"


def test_an_upper_case_uuid_is_made_lower_case() -> None:
    assert parsed(job_id=UUID.upper()).job.job_id == UUID


@pytest.mark.parametrize(
    "text",
    [
        "2030-01-31T08:00:00Z",
        "2030-01-31t09:00:00.000+01:00",
        "2030-01-31T08:00:00.0z",
        "2030-01-30T22:00:00-10:00",
    ],
)
def test_times_in_any_zone_are_the_same_instant(text: str) -> None:
    assert parsed(run_at=text).job.run_at == datetime(2030, 1, 31, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"type": None}, Reason.WRONG_TYPE, "type"),
        ({"type": "Email.Send"}, Reason.INVALID_VALUE, "type"),
        ({"type": "email..send"}, Reason.INVALID_VALUE, "type"),
        ({"type": "email.send\n"}, Reason.INVALID_VALUE, "type"),
        ({"type": "a" * 101}, Reason.INVALID_VALUE, "type"),
        ({"type": ""}, Reason.INVALID_VALUE, "type"),
        ({"tenant": ""}, Reason.INVALID_VALUE, "tenant"),
        ({"tenant": None}, Reason.WRONG_TYPE, "tenant"),
        ({"tenant": "t" * 101}, Reason.INVALID_VALUE, "tenant"),
        ({"job_id": "42"}, Reason.INVALID_VALUE, "job_id"),
        ({"job_id": UUID.replace("-", "")}, Reason.INVALID_VALUE, "job_id"),
        ({"job_id": 42}, Reason.WRONG_TYPE, "job_id"),
        ({"idempotency_key": ""}, Reason.INVALID_VALUE, "idempotency_key"),
        ({"idempotency_key": "k" * 201}, Reason.INVALID_VALUE, "idempotency_key"),
        ({"priority": -1}, Reason.INVALID_VALUE, "priority"),
        ({"priority": 10}, Reason.INVALID_VALUE, "priority"),
        ({"priority": "5"}, Reason.WRONG_TYPE, "priority"),
        ({"priority": True}, Reason.WRONG_TYPE, "priority"),
        ({"priority": 5.0}, Reason.WRONG_TYPE, "priority"),
        ({"timeout_s": 0.5}, Reason.INVALID_VALUE, "timeout_s"),
        ({"timeout_s": 86_401}, Reason.INVALID_VALUE, "timeout_s"),
        ({"timeout_s": "30s"}, Reason.WRONG_TYPE, "timeout_s"),
        ({"timeout_s": False}, Reason.WRONG_TYPE, "timeout_s"),
        ({"max_attempts": 0}, Reason.INVALID_VALUE, "max_attempts"),
        ({"max_attempts": 51}, Reason.INVALID_VALUE, "max_attempts"),
        ({"pool": 3}, Reason.WRONG_TYPE, "pool"),
        ({"run_at": 1_900_000_000}, Reason.WRONG_TYPE, "run_at"),
        ({"run_at": "2030-01-31T08:00:00"}, Reason.INVALID_VALUE, "run_at"),
        ({"run_at": "2030-01-31 08:00:00Z"}, Reason.INVALID_VALUE, "run_at"),
        ({"run_at": "2030-13-31T08:00:00Z"}, Reason.INVALID_VALUE, "run_at"),
        ({"run_at": "2030-01-31T08:00:60Z"}, Reason.INVALID_VALUE, "run_at"),
        ({"run_at": "2030-01-31T08:00:00+99:00"}, Reason.INVALID_VALUE, "run_at"),
        ({"run_at": "0000-01-31T08:00:00Z"}, Reason.INVALID_VALUE, "run_at"),
        ({"run_at": "tomorrow"}, Reason.INVALID_VALUE, "run_at"),
        ({"deadline": "2030-01-31"}, Reason.INVALID_VALUE, "deadline"),
        ({"expires_at": []}, Reason.WRONG_TYPE, "expires_at"),
        ({"depends_on": UUID}, Reason.WRONG_TYPE, "depends_on"),
        ({"depends_on": [UUID, "x"]}, Reason.INVALID_VALUE, "depends_on.1"),
        ({"depends_on": [UUID] * 1001}, Reason.INVALID_VALUE, "depends_on"),
        ({"depends_on": {"group": "g", "count": -1}}, Reason.INVALID_VALUE, "depends_on.count"),
        ({"group": ""}, Reason.INVALID_VALUE, "group"),
        ({"on_parent_failure": "stop"}, Reason.INVALID_VALUE, "on_parent_failure"),
        ({"workflow_id": "w" * 201}, Reason.INVALID_VALUE, "workflow_id"),
        ({"ordering_key": {}}, Reason.WRONG_TYPE, "ordering_key"),
        ({"sensitive": "/card"}, Reason.WRONG_TYPE, "sensitive"),
        ({"sensitive": {"/card": 1}}, Reason.WRONG_TYPE, "sensitive"),
        ({"sensitive": ["card"]}, Reason.INVALID_VALUE, "sensitive.0"),
        ({"sensitive": ["/a~2"]}, Reason.INVALID_VALUE, "sensitive.0"),
        ({"sensitive": ["/a"] * 101}, Reason.INVALID_VALUE, "sensitive"),
        ({"labels": ["a"]}, Reason.WRONG_TYPE, "labels"),
        ({"labels": {"a": 1}}, Reason.WRONG_TYPE, "labels.a"),
        ({"labels": {"": "x"}}, Reason.INVALID_VALUE, "labels."),
        ({"labels": {"k" * 64: "x"}}, Reason.INVALID_VALUE, "labels." + "k" * 64),
        ({"labels": {"a": "v" * 256}}, Reason.INVALID_VALUE, "labels.a"),
        ({"labels": {str(n): "" for n in range(21)}}, Reason.INVALID_VALUE, "labels"),
    ],
)
def test_a_bad_field_is_refused_with_reason_name_value_and_remedy(
    fields: dict[str, Any], reason: Reason, field: str
) -> None:
    rejection = refused(**fields)
    assert (rejection.reason, rejection.field) == (reason, field)
    assert rejection.remedy.startswith(("send", "use", "write"))
    assert rejection.value_excerpt is not None
    assert len(rejection.value_excerpt) <= 80
    assert len(rejection.message) <= 200


def test_a_missing_type_is_named() -> None:
    rejection = parse_job(b'{"payload": {"secret": 1}}')
    assert isinstance(rejection, Rejection)
    assert (rejection.reason, rejection.field) == (Reason.MISSING_FIELD, "type")
    assert rejection.remedy == "add `type`"
    assert rejection.value_excerpt is None


def test_a_misspelt_field_is_reported_with_the_name_that_was_meant() -> None:
    rejection = parse_job(b'{"type": "a", "idempotencyKey": "k", "priority": "high"}')
    assert isinstance(rejection, Rejection)
    assert (rejection.reason, rejection.field) == (Reason.UNKNOWN_FIELD, "idempotencyKey")
    assert "did you mean `idempotency_key`?" in rejection.remedy


def test_the_value_of_an_unknown_field_is_never_shown() -> None:
    rejection = refused(password="hunter2-hunter2")
    assert rejection.reason is Reason.UNKNOWN_FIELD
    assert "hunter2" not in repr(rejection)


def test_an_endless_unknown_name_is_cut() -> None:
    rejection = refused(**{"x" * 100_000: 1})
    assert len(repr(rejection)) < 600


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"job_id": UUID, "idempotency_key": "k"}, "job_id"),
        ({"job_id": UUID, "workflow_id": "w", "depends_on": [OTHER_UUID, UUID.upper()]}, "depends_on"),
        ({"depends_on": [UUID]}, "depends_on"),
        ({"depends_on": {"group": "g"}}, "depends_on"),
        ({"group": "g"}, "group"),
        ({"workflow_id": "w", "group": "g", "depends_on": {"group": "g"}}, "group"),
        ({"run_at": "2030-01-01T00:00:00Z", "expires_at": "2030-01-01T01:00:00+01:00"}, "expires_at"),
        ({"run_at": "2030-01-01T00:00:00Z", "deadline": "2029-12-31T23:59:59Z"}, "deadline"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(fields: dict[str, Any], field: str) -> None:
    rejection = refused(**fields)
    assert (rejection.reason, rejection.field) == (Reason.CONTRADICTION, field)
    assert rejection.remedy


def test_a_deadline_may_be_the_moment_it_may_start() -> None:
    assert parsed(run_at="2030-01-01T00:00:00Z", deadline="2030-01-01T00:00:00Z")


def test_every_field_but_the_payload_has_a_remedy() -> None:
    for field in FIELDS:
        if field != "payload":
            assert refused(**{field: {"no": ["thing"]}}).remedy != "see the job contract"


def test_what_is_wrong_with_a_group_is_named_within_it() -> None:
    unknown = refused(workflow_id="w", depends_on={"group": "g", "counts": 1})
    assert (unknown.reason, unknown.field) == (Reason.UNKNOWN_FIELD, "depends_on.counts")
    assert '{"group": NAME, "count": N}' in unknown.remedy
    missing = refused(workflow_id="w", depends_on={"count": 1})
    assert (missing.reason, missing.field) == (Reason.MISSING_FIELD, "depends_on.group")
