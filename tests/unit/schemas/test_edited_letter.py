"""Edited dead letters: what becomes of the payload, and what is refused."""

import json

import msgspec
import pytest

from core.log import Record
from penstock.cli.workflow_retry import redriven
from schemas.accepted_job import AcceptedJob, DeadJob, FailedAttempt
from schemas.codec import decode_dead, decode_event
from schemas.edited_letter import CannotEditError, checked_patch, edited, edited_record
from schemas.topics import JOB_MAX_BYTES, RECORD_MAX_BYTES, RouteMap

ROUTES = RouteMap(partitions=1)
JOB_ID = "00000000-0000-4000-8000-000000000001"


def letter(payload: bytes = b'{"to":"a","n":1.50}', **changed: object) -> DeadJob:
    job = AcceptedJob("e:0:7", JOB_ID, "t", "x", "p", msgspec.Raw(payload), 5, 0, 10.0, 3, "0" * 16, "0")
    job = msgspec.structs.replace(job, n=3, **changed)
    last = FailedAttempt(job, "x", "permanent", "Boom", "no", 1, traceback="tb", log_tail=("line",))
    return DeadJob(last, "no use", "permanent", 3, 0, 1)


def test_an_edited_letter_is_the_same_dispatch_with_another_payload_and_a_mark() -> None:
    one = edited(letter(), b'{"to": "b", "cc": null}', "act-1")
    job = one.last.job
    assert bytes(job.payload) == b'{"to":"b","n":1.50}'
    assert (job.job_id, job.n, job.body_hash, one.edited) == (JOB_ID, 3, "0" * 16, "act-1")
    assert (one.last.traceback, one.last.log_tail, one.last.message) == ("", (), "no")
    record = edited_record(ROUTES, one)
    assert (record.topic, record.key, dict(record.headers)["kind"]) == (ROUTES.dead, JOB_ID.encode(), b"DEAD")
    assert decode_dead(Record(record.topic, 0, 0, 0, record.key, record.value, ())) == one


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        (b"{", "not JSON"),
        (b'{"a": 1}, "b": 2', "not JSON|no field"),
        (b'{"a": 1, "a": 2}', "stands twice"),
        (b'{"a": NaN}', "is not JSON"),
        (b'{"a": "\\u0000"}', "u0000"),
        (b'{"a": 123456789012345678901234567890}', "64 bits"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "nested"),
        (b'1,"priority":9', "not one JSON value"),
    ],
)
def test_a_patch_that_ingest_would_not_take_is_refused(patch: bytes, said: str) -> None:
    with pytest.raises(CannotEditError, match=said):
        checked_patch(patch)


def test_what_a_patch_makes_too_large_is_refused() -> None:
    with pytest.raises(CannotEditError, match=f"{RECORD_MAX_BYTES} are allowed"):
        edited(letter(), json.dumps({"x": "y" * RECORD_MAX_BYTES}).encode(), "a")
    large = edited(letter(parents_omitted="z" * JOB_MAX_BYTES), b"{}", "a")
    with pytest.raises(CannotEditError, match="are allowed"):
        edited_record(ROUTES, large)


def test_a_workflow_is_tried_again_from_letters_and_never_from_edited_copies() -> None:
    own, copy = letter(), edited(letter(), b'{"to":"b"}', "act-1")
    records = [
        Record(ROUTES.dead, 0, offset, 0, JOB_ID.encode(), msgspec.json.encode(one), ())
        for offset, one in enumerate([own, copy])
    ]
    (verdict,) = redriven(ROUTES, records, "e", "ann").values()
    read = decode_event(Record(verdict.topic, 0, 0, 0, None, verdict.value, ()))
    assert (read.n, read.offset) == (4, 0)  # type: ignore[union-attr]
