import msgspec
import pytest

from core.gates.id_gate import Body, Passed, Repeat, Submission
from core.ledger.notes import Accepted
from core.ledger.verdicts import Expired
from core.log import NewRecord, Record
from penstock.identity import home
from schemas.accepted_job import AcceptedJob, DelayedJob
from schemas.codec import UnreadableRecordError, decode_accepted, decode_delayed, decode_event, encode
from services.scheduler.decide import Fate, admit, depart, submission_of
from tests.unit.services.scheduler.simulation import ROUTES, START_MS, a_job


def as_read(record: NewRecord, topic: str | None = None) -> Record:
    return Record(topic or record.topic, record.partition, 0, 0, record.key, record.value, record.headers)


def delayed(then: str, due_ms: int, job: AcceptedJob) -> Record:
    value = encode(DelayedJob(due_ms, then, job))
    return Record(ROUTES.delay(2), 1, 9, 0, b"key", value, (("kind", b"DELAYED"), ("attempt", b"2")))


def test_a_job_nobody_named_is_not_asked_about() -> None:
    assert submission_of(a_job()) is None


@pytest.mark.parametrize("named", [{"supplied_id": True}, {"idempotency_key": "k"}])
def test_a_job_with_id_or_key_is_asked_about(named: dict[str, object]) -> None:
    job = a_job(1, **named)
    expected = Submission(job.job_id, "e:0:1", START_MS, job.body_hash, "acme", job.idempotency_key)
    assert submission_of(job) == expected


def test_the_note_of_a_passing_job_is_masked() -> None:
    job = a_job(idempotency_key="k", payload=msgspec.Raw(b'{"to":"secret"}'), sensitive=("/to",))
    told, ready = admit(ROUTES, job, Passed(job.job_id), START_MS).records
    note = decode_event(as_read(told))
    assert isinstance(note, Accepted)
    assert bytes(note.payload) == b'{"to":"***"}'
    assert note.payload_bytes == len(job.payload)
    assert decode_accepted(as_read(ready)) == job, "services get the payload itself"


def test_a_job_waiting_and_expiring_goes_into_the_wheel_twice() -> None:
    job = a_job(run_at_ms=START_MS + 300, expires_at_ms=START_MS + 5000)
    expiry, _, waiting = admit(ROUTES, job, None, START_MS).records
    assert (expiry.topic, waiting.topic) == (ROUTES.delay(2), ROUTES.delay(0))
    alarm = decode_delayed(as_read(expiry))
    assert (alarm.due_ms, alarm.then) == (START_MS + 5000, "expire")
    assert bytes(alarm.job.payload) == b"null", "saying that it expired takes no payload"
    assert decode_delayed(as_read(waiting)) == DelayedJob(START_MS + 300, "ready", job)


def test_a_due_time_that_passed_meanwhile_does_not_hold_the_job() -> None:
    (ready,) = admit(ROUTES, a_job(run_at_ms=START_MS), None, START_MS).records
    assert ready.topic == ROUTES.ready


def test_a_repeat_is_told_at_the_home_of_the_job_it_repeats() -> None:
    job = a_job(2, idempotency_key="k")
    admission = admit(ROUTES, job, Repeat(a_job(5).job_id, "e:0:1", Body.SAME), START_MS)
    assert admission.fate is Fate.REPEATED
    (told,) = admission.records
    assert told.partition == home(a_job(5).job_id, ROUTES.partitions)


def test_a_hop_carries_the_same_bytes_to_the_same_partition() -> None:
    record = delayed("ready", START_MS + 1001, a_job())
    departure = depart(ROUTES, record, START_MS)
    assert departure.late_ms is None
    assert departure.record == NewRecord(ROUTES.delay(1), 1, b"key", record.value, record.headers)


def test_a_due_job_becomes_ready_with_its_attempt() -> None:
    departure = depart(ROUTES, delayed("ready", START_MS - 40, a_job(n=2, attempt=2)), START_MS)
    assert departure.late_ms == 40
    assert (departure.record.topic, departure.record.partition) == (ROUTES.ready, 1)
    assert decode_accepted(as_read(departure.record)) == a_job(n=2, attempt=2)
    assert departure.record.headers == (("kind", b"READY"), ("attempt", b"2"))


def test_a_due_expiry_becomes_a_verdict() -> None:
    departure = depart(ROUTES, delayed("expire", START_MS, a_job()), START_MS)
    assert decode_event(as_read(departure.record)) == Expired("e:0:1", a_job().job_id)


@pytest.mark.parametrize("value", [b"", b"{}", b'{"due_ms":1,"then":"sing","job":{}}', None])
def test_an_unknown_record_of_the_wheel_is_named_and_not_skipped(value: bytes | None) -> None:
    record = Record(ROUTES.delay(2), 1, 9, 0, None, value, ())
    with pytest.raises(UnreadableRecordError, match=r"jobs\.delay\.2/1/9"):
        depart(ROUTES, record, START_MS)
