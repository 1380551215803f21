from base64 import b64decode

import msgspec

from core.log import Coordinate, Headers, Record
from schemas.rejected import HEADERS_MAX, RejectedRecord, rejected_record
from schemas.rejection import Reason, Rejection
from schemas.topics import MESSAGE_MAX_BYTES

REJECTION = Rejection(Reason.INVALID_JSON, "it is not JSON", "send JSON")


def record(value: bytes | None, key: bytes | None = None, headers: Headers = ()) -> Record:
    return Record("jobs", 3, 99, 1_780_000_000_000, key, value, headers)


def test_the_original_can_be_sent_again_from_what_is_kept() -> None:
    headers = (("traceparent", b"00-x"), ("traceparent", b"\xff\x00"))
    kept = rejected_record(record(b"\xff\x00{", b"k\xfe", headers), REJECTION)
    assert b64decode(kept.value_base64 or "") == b"\xff\x00{"
    assert b64decode(kept.key_base64 or "") == b"k\xfe"
    assert tuple((name, b64decode(value)) for name, value in kept.headers_base64) == headers
    assert (kept.coordinate, kept.cut, kept.value_bytes) == (Coordinate("jobs", 3, 99), False, 3)
    assert (kept.reason, kept.remedy) == ("invalid_json", "send JSON")


def test_a_null_value_stays_apart_from_an_empty_one() -> None:
    assert rejected_record(record(None), REJECTION).value_base64 is None
    assert rejected_record(record(b""), REJECTION).value_base64 == ""


def test_a_monster_is_cut_and_still_fits_into_a_record() -> None:
    headers = tuple(("\x01" * 5_000, b"x" * 5_000) for _ in range(1_000))
    for monster in (
        record(b"v" * 5_000_000, b"k" * 5_000_000, headers),
        record(b"", b"k" * 5_000_000, headers),
        record(b"", None, headers),
        record(b"v", None, (("h" * 2_000_000, b""),)),
    ):
        kept = rejected_record(monster, REJECTION)
        assert kept.cut
        assert kept.value_bytes == len(monster.value or b"")
        assert len(msgspec.json.encode(kept)) < MESSAGE_MAX_BYTES


def test_many_small_headers_are_cut() -> None:
    kept = rejected_record(record(b"", None, (("a", b""),) * 1_000), REJECTION)
    assert len(kept.headers_base64) == HEADERS_MAX
    assert kept.cut


def test_it_survives_the_way_through_json() -> None:
    kept = rejected_record(record(b"x", b"k", (("h", b"v"),)), REJECTION)
    assert msgspec.json.decode(msgspec.json.encode(kept), type=RejectedRecord) == kept
