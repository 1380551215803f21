"""Any bytes end as exactly one of an accepted job and a rejection, and always the same one."""

import json
from base64 import b64decode
from typing import Any

import msgspec
import orjson
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from core.gates.gate import Gate
from core.log import Headers, Record
from core.masking import mask, scrub, secrets
from schemas.acceptance import accepted_note
from schemas.accepted_job import AcceptedJob
from schemas.job_parser import FIELDS, parse_job
from schemas.rejected import RejectedRecord
from schemas.rejection import Reason, Rejection
from schemas.strict_json import StrictObject, parse_object
from schemas.topics import MESSAGE_MAX_BYTES
from services.ingest.decide import Accepted, IngestContext, Rejected, decide, decide_batch

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
CONTEXT = IngestContext("e1", 4, frozenset({"default"}))

scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
safe_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
safe_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | safe_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(safe_text, inner, max_size=4),
    max_leaves=15,
)
good_fields: dict[str, st.SearchStrategy[Any]] = {
    "payload": safe_values,
    "tenant": st.text("abcé", min_size=1, max_size=100),
    "idempotency_key": st.text("abc:/", min_size=1, max_size=200),
    "priority": st.integers(0, 9),
    "timeout_s": st.integers(1, 86_400) | st.floats(1, 86_400),
    "max_attempts": st.integers(1, 50),
    "run_at": st.sampled_from(["2030-01-01T00:00:00Z", "1999-12-31T23:59:59.5-03:30"]),
    "ordering_key": st.text("abc:/", min_size=1, max_size=200),
    "labels": st.dictionaries(st.text("ab", min_size=1, max_size=63), safe_text, max_size=5),
    "sensitive": st.lists(st.sampled_from(["", "/a", "/0", "/a/b", "/~0~1"]), max_size=4),
}
good_jobs = st.fixed_dictionaries({"type": st.just("email.send")}, optional=good_fields)
odd_jobs = st.fixed_dictionaries(
    {}, optional={name: good_fields.get(name, json_values) | json_values for name in FIELDS}
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Write a job as JSON, then damage a few of its bytes."""
    raw = bytearray(json.dumps(draw(good_jobs)).encode())
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(raw)))
        length = draw(st.integers(0, 3))
        raw[place : place + length] = draw(
            st.binary(max_size=3)
            | st.sampled_from(
                [b"{", b"[", b'"', b"\\u0000", b"\\ud800", b"NaN", b"1e999", b"\xef\xbb\xbf", b":"]
            )
            | st.just(bytes(raw[place : place + 40]))
        )
    return bytes(raw)


values = st.none() | st.binary(max_size=300) | mutated() | odd_jobs.map(lambda job: json.dumps(job).encode())
headers: st.SearchStrategy[Headers] = st.lists(
    st.tuples(st.sampled_from(["traceparent", "x", ""]), st.binary(max_size=60)), max_size=3
).map(tuple)


@st.composite
def records(draw: st.DrawFn) -> Record:
    key = draw(st.none() | st.binary(max_size=20))
    place = draw(st.tuples(st.integers(0, 3), st.integers(0, 2**62)))
    return Record("jobs", *place, draw(st.integers(0, 2**45)), key, draw(values), draw(headers))


@patient
@given(records())
@example(Record("jobs", 0, 0, 0, None, b"[" * 200_000, ()))
@example(Record("jobs", 0, 0, 0, None, b'{"a":' * 50_000 + b"1" + b"}" * 50_000, ()))
@example(Record("jobs", 0, 0, 0, None, b'{"type":' + b"1" * 200_000 + b"}", ()))
@example(Record("jobs", 0, 0, 0, None, b"\xff" * 5_000_000, ()))
def test_any_bytes_are_exactly_one_of_accepted_and_rejected_and_always_the_same(record: Record) -> None:
    decision = decide(record, CONTEXT)
    again = decide(record._replace(), CONTEXT)
    match decision:
        case Accepted():
            assert isinstance(again, Accepted)
            carried = msgspec.json.encode((decision.job, decision.note, decision.home, decision.gates))
            assert carried == msgspec.json.encode((again.job, again.note, again.home, again.gates))
            assert len(carried) < MESSAGE_MAX_BYTES
            assert msgspec.json.decode(msgspec.json.encode(decision.job), type=AcceptedJob) == decision.job
        case Rejected():
            assert again == decision
            assert decision.reason is not Reason.INTERNAL_ERROR
            assert decision.record.message
            assert decision.record.remedy
            carried = msgspec.json.encode(decision.record)
            assert len(carried) < MESSAGE_MAX_BYTES
            assert msgspec.json.decode(carried, type=RejectedRecord) == decision.record
            if record.value is not None and not decision.record.cut:
                assert b64decode(decision.record.value_base64 or "") == record.value


@patient
@given(st.lists(records(), max_size=8))
def test_a_batch_decides_as_its_records_alone_do(batch: list[Record]) -> None:
    together = decide_batch(batch, CONTEXT)
    alone = [decide(record, CONTEXT) for record in batch]
    assert [one.job.origin for one in together.accepted] == [
        one.job.origin for one in alone if isinstance(one, Accepted)
    ]
    assert together.rejected == [one for one in alone if isinstance(one, Rejected)]


@patient
@given(good_jobs)
def test_a_good_job_is_accepted_with_the_payload_it_carried(job: dict[str, Any]) -> None:
    raw = json.dumps(job).encode()
    decision = decide(Record("jobs", 0, 1, 1_780_000_000_000, None, raw, ()), CONTEXT)
    assert isinstance(decision, Accepted), decision
    assert bytes(decision.job.payload) in raw or "payload" not in job
    assert json.loads(bytes(decision.job.payload)) == job.get("payload", {})
    assert (decision.note is None) == (Gate.ID in decision.gates)
    assert accepted_note(decision.job).payload_bytes == len(bytes(decision.job.payload))


def _strict_reference(raw: bytes) -> bool:
    """Say the slow and obvious way whether no object of a JSON document repeats a key or holds a NUL."""

    def check(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len(dict(pairs)) != len(pairs) or any("\0" in key for key, _ in pairs):
            raise ValueError
        for _, value in pairs:
            look(value)
        return dict(pairs)

    def look(value: object) -> None:
        match value:
            case str() if "\0" in value:
                raise ValueError
            case int() if not -(2**63) <= value < 2**64:
                raise ValueError
            case list():
                for item in value:
                    look(item)
            case _:
                pass

    try:
        return isinstance(json.loads(raw, object_pairs_hook=check), dict)
    except ValueError:
        return False


keys = st.sampled_from(["a", "b", "a:", ":", "\\u0061", "\\u003a", "\\u0000", "\\\\u0000", "é", "\\u00e9"])
numbers = st.sampled_from(
    ["1", "18446744073709551615", "18446744073709551616", "1.5", "-9223372036854775809"]
)
documents = st.recursive(
    numbers | keys.map('"{}"'.format),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]")
        | st.lists(st.tuples(keys, inner), max_size=4).map(
            lambda pairs: "{" + ", ".join(f'"{key}":{value}' for key, value in pairs) + "}"
        )
    ),
    max_leaves=10,
)


@patient
@given(st.lists(st.tuples(keys, documents), max_size=4))
def test_the_fast_path_misses_no_duplicate_no_nul_and_no_long_integer(pairs: list[tuple[str, str]]) -> None:
    raw = ("{" + ",".join(f'"{key}": {value}' for key, value in pairs) + "}").encode()
    answer = parse_object(raw)
    assert isinstance(answer, StrictObject) == _strict_reference(raw), answer
    if isinstance(answer, StrictObject):
        assert answer.members == json.loads(raw)
        assert orjson.loads(answer.canonical) == answer.members


@patient
@given(st.binary(max_size=200) | mutated())
def test_a_rejection_can_always_be_written_as_json(raw: bytes) -> None:
    answer = parse_job(raw)
    if isinstance(answer, Rejection):
        assert msgspec.json.encode(answer)
        assert len("".join(part or "" for part in answer)) < 1_000


tokens = st.sampled_from(["a", "b", "0", "1", "", "~", "/", "x"])
trees = st.recursive(
    st.integers(0, 9) | st.sampled_from(["open", "text"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(tokens, inner, max_size=3),
    max_leaves=10,
)


def _masked_reference(value: Any, path: list[str]) -> Any:
    if not path:
        return "***"
    match value:
        case dict() if path[0] in value:
            return {**value, path[0]: _masked_reference(value[path[0]], path[1:])}
        case list() if path[0] in {str(index) for index in range(len(value))}:
            index = int(path[0])
            return [*value[:index], _masked_reference(value[index], path[1:]), *value[index + 1 :]]
        case _:
            return value


@patient
@given(trees, st.lists(st.lists(tokens, max_size=4), max_size=4))
def test_masking_equals_replacing_one_pointer_after_the_other(payload: Any, paths: list[list[str]]) -> None:
    pointers = [
        "".join(f"/{token.replace('~', '~0').replace('/', '~1')}" for token in path) for path in paths
    ]
    expected = payload
    for path in paths:
        expected = _masked_reference(expected, path)
    raw = json.dumps(payload).encode()
    masked = mask(raw, pointers)
    assert json.loads(masked) == expected
    assert len(masked) <= len(raw) + 4 * len(pointers) + (4 if pointers else 0)


@patient
@given(st.text(min_size=4, max_size=12), st.text(max_size=30), st.text(max_size=30))
def test_no_secret_is_left_after_scrubbing(secret: str, before: str, after: str) -> None:
    payload = json.dumps({"s": secret}).encode()
    scrubbed = scrub(f"{before}{secret}{after}", secrets(payload, ["/s"]))
    assert secret not in scrubbed or "*" in secret
