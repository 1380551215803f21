import json

import pytest

from schemas.rejection import Reason, Rejection
from schemas.strict_json import DEPTH_MAX, StrictObject, depth, parse_object


def refusal(raw: bytes) -> Rejection:
    answer = parse_object(raw)
    assert isinstance(answer, Rejection), answer
    assert answer.message
    assert answer.remedy
    return answer


def nested(levels: int) -> bytes:
    return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", Reason.INVALID_JSON),
        (b" \n", Reason.INVALID_JSON),
        (b"{", Reason.INVALID_JSON),
        (b"{} {}", Reason.INVALID_JSON),
        (b"{'a': 1}", Reason.INVALID_JSON),
        (b'{"a": 01}', Reason.INVALID_JSON),
        (b'{"a": 1,}', Reason.INVALID_JSON),
        (b'{"a": "\x00"}', Reason.INVALID_JSON),
        (b"\x00", Reason.INVALID_JSON),
        (b'{"a": "\xff"}', Reason.BAD_UTF8),
        (b'{"a": "\xed\xa0\x80"}', Reason.BAD_UTF8),
        ('{"a": 1}'.encode("utf-16"), Reason.BAD_UTF8),
        (b'\xef\xbb\xbf{"a": 1}', Reason.BYTE_ORDER_MARK),
        (b"[]", Reason.NOT_AN_OBJECT),
        (b"null", Reason.NOT_AN_OBJECT),
        (b"true", Reason.NOT_AN_OBJECT),
        (b"12", Reason.NOT_AN_OBJECT),
        (b'"job"', Reason.NOT_AN_OBJECT),
        (b'{"a": NaN}', Reason.NOT_A_NUMBER),
        (b'{"a": [-Infinity]}', Reason.NOT_A_NUMBER),
        (b'{"a": 1e400}', Reason.NUMBER_OUT_OF_RANGE),
        (b'{"a": -1.5e309}', Reason.NUMBER_OUT_OF_RANGE),
        (b'{"a": 18446744073709551616}', Reason.NUMBER_OUT_OF_RANGE),
        (b'{"a": -9223372036854775809}', Reason.NUMBER_OUT_OF_RANGE),
        (b'{"a": ' + b"9" * 200_000 + b"}", Reason.NUMBER_OUT_OF_RANGE),
        (b'{"a": "\\ud800"}', Reason.LONE_SURROGATE),
        (b'{"\\udfff": 1}', Reason.LONE_SURROGATE),
        (b'{"a": "x\\u0000"}', Reason.NUL_CHARACTER),
        (b'{"a": "\\\\\\u0000"}', Reason.NUL_CHARACTER),
        (b'{"\\u0000": 1}', Reason.NUL_CHARACTER),
        (b'{"a": 1, "a": 1}', Reason.DUPLICATE_KEY),
        (b'{"p": {"b": [{"c": 1, "c": 2}]}}', Reason.DUPLICATE_KEY),
        (b'{"a": 1, "\\u0061": 2}', Reason.DUPLICATE_KEY),
        (b'{"x\\u003a": 1, "a": 1, "a": 2}', Reason.DUPLICATE_KEY),
        (nested(DEPTH_MAX + 1), Reason.TOO_DEEP),
        (nested(300), Reason.TOO_DEEP),
        (nested(100_000), Reason.TOO_DEEP),
        (b"[" * 100_000, Reason.TOO_DEEP),
        (b'{"a":' * 100_000, Reason.TOO_DEEP),
    ],
)
def test_a_bad_document_is_refused_with_its_reason(raw: bytes, reason: Reason) -> None:
    assert refusal(raw).reason is reason


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b' {"a" : [ 1 , 2.50, 1E5 ] }\r\n\t',
        b'{"a": 18446744073709551615, "b": -9223372036854775808}',
        b'{"account": "12345678901234567890123"}',
        b'{"pi": 3.14159265358979323846264338}',
        b'{"a": "literally \\\\u0000"}',
        b'{"a": "\\ud83d\\ude00"}',
        b'{"a:b": "c:d", "\\u003a": "::"}',
        b'{"a": {"x": 1}, "b": {"x": 1}}',
        b'{"a": "[[[[' + b"{[" * 100 + b'"}',
        nested(DEPTH_MAX),
        b'{"wide": [' + b",".join([b"{}"] * 500) + b"]}",
    ],
)
def test_a_good_document_is_read_as_the_standard_parser_reads_it(raw: bytes) -> None:
    answer = parse_object(raw)
    assert isinstance(answer, StrictObject), answer
    assert answer.members == json.loads(raw)


def test_a_duplicate_is_named() -> None:
    assert refusal(b'{"type": "a", "payload": {"to": 1, "to": 2}}').field == "to"


def test_a_duplicate_with_half_a_surrogate_pair_can_be_written() -> None:
    assert refusal(b'{"\\ud800": 1, "\\ud800": 2}').message.encode()


def test_canonical_bytes_do_not_depend_on_order_and_white_space() -> None:
    one = parse_object(b'{"b": [1, {"d": 1, "c": 2}], "a": "\\u00e9"}')
    two = parse_object('{"a":"é","b":[1,{"c":2,"d":1}]}'.encode())
    assert isinstance(one, StrictObject)
    assert isinstance(two, StrictObject)
    assert one.canonical == two.canonical


@pytest.mark.parametrize(
    ("raw", "levels"),
    [
        (b"", 0),
        (b"1", 0),
        (b"[]", 1),
        (b'{"a":[[],{}]}', 3),
        (b'["]]]["]', 1),
        (b'["\\"[[["]', 1),
        (b'["[[[', 1),
    ],
)
def test_depth_counts_brackets_outside_strings(raw: bytes, levels: int) -> None:
    assert depth(raw) == levels


def test_unclosed_strings_full_of_quotes_are_scanned_in_linear_time() -> None:
    assert refusal(b'{"a": "' + b'\\"' * 130_000).reason is Reason.INVALID_JSON
