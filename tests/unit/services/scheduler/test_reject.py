from base64 import b64decode

import msgspec
import pytest

from core.gates.id_gate import Body, Repeat
from schemas.job_parser import ParsedJob, parse_job
from schemas.rejected import RejectedRecord
from services.scheduler.reject import conflict_record, written_again
from tests.unit.services.scheduler.simulation import ROUTES, START_MS, a_job

FIRST = Repeat(a_job(1).job_id, "e:0:1", Body.DIFFERENT)


@pytest.mark.parametrize(
    ("named", "field", "remedy"),
    [
        ({"idempotency_key": "k"}, "idempotency_key", "another key"),
        ({"supplied_id": True}, "job_id", "new one"),
    ],
)
def test_a_conflict_says_what_is_wrong_and_what_to_do(
    named: dict[str, object], field: str, remedy: str
) -> None:
    job = a_job(7, **named)
    record = conflict_record(ROUTES, job, FIRST)
    rejected = msgspec.json.decode(record.value or b"", type=RejectedRecord)
    assert (rejected.reason, rejected.field, rejected.job_id) == ("key_conflict", field, FIRST.job_id)
    assert remedy in rejected.remedy
    assert "e:0:1" in rejected.message
    assert rejected.coordinate == (ROUTES.jobs, 0, 7)
    assert rejected.timestamp_ms == START_MS
    assert record.key == b"e:0:7"
    assert b64decode(rejected.value_base64 or "") == written_again(job)


def test_what_is_written_again_is_the_same_job_to_the_parser() -> None:
    job = a_job(
        3,
        supplied_id=True,
        payload=msgspec.Raw(b'{"a" : 1.50}'),
        run_at_ms=START_MS + 1,
        deadline_ms=START_MS + 20,
        expires_at_ms=START_MS + 999,
        sensitive=("/a",),
        labels={"team": "x"},
        priority=9,
    )
    parsed = parse_job(written_again(job))
    assert isinstance(parsed, ParsedJob)
    assert bytes(parsed.payload) == b'{"a" : 1.50}'
    assert (parsed.job.job_id, parsed.job.priority, parsed.job.labels) == (job.job_id, 9, {"team": "x"})
    assert parsed.job.run_at is not None
    assert parsed.job.run_at.timestamp() * 1000 == pytest.approx(START_MS + 1, abs=0.01)


def test_what_is_written_again_leaves_out_what_was_not_given() -> None:
    assert "run_at" not in msgspec.json.decode(written_again(a_job()))
