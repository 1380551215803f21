"""Bytes to one JSON object, or the reason why not; never an exception, whatever the bytes.

JSON parsers agree on good documents and differ on bad ones: the last duplicate wins, NaN is let
through, a long integer becomes a float. Here every such document is refused, so that all readers
down the line see the same value. ``orjson`` decides what is JSON; the slower standard parser only
looks at documents that are suspicious, or refused already and in need of a reason.
"""

import json
import re
from itertools import accumulate
from typing import Any, NamedTuple, NoReturn

import orjson

from schemas.rejection import Reason, Rejection, shorten

DEPTH_MAX = 64
"""Deepest nesting of arrays and objects; below the limits of every parser in use (orjson writes 254)."""
INTEGER_MIN = -(2**63)
INTEGER_MAX = 2**64 - 1
"""Integers every parser in use reads exactly; beyond them orjson silently gives a float."""

_LONG_NUMBER = b"0" * 19
"""Digits of the shortest integer that may lie outside 64 bits."""
_DIGITS_TO_ZERO = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x2E for byte in range(256))
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""A JSON string, or an unclosed one up to the end: matching it never backtracks."""
_NUL_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*+\\u0000")
_STEP = {byte: (1 if byte in b"[{" else -1) for byte in b"[]{}"}
_BOM = b"\xef\xbb\xbf"


class StrictObject(NamedTuple):
    """A JSON object and its canonical bytes: keys sorted, no white space.

    Equal values have equal canonical bytes; numbers count as equal when their doubles are.
    """

    members: dict[str, Any]
    canonical: bytes


class _RefusedError(Exception):
    """Carries a rejection out of the hooks of the standard parser."""

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(rejection.message)
        self.rejection = rejection


def parse_object(raw: bytes) -> StrictObject | Rejection:
    """Read ``raw`` as one JSON object.

    Promises: the same bytes give the same answer; no exception; time linear in the length.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return _diagnose(raw, str(error))
    if _may_be_deep(raw) and depth(raw) > DEPTH_MAX:
        return _too_deep()
    if not isinstance(value, dict):
        return _not_an_object(value)
    canonical = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    if _is_suspicious(raw, canonical):
        refusal = _look_closely(raw)
        if refusal is not None:
            return refusal
    return StrictObject(value, canonical)


def depth(raw: bytes) -> int:
    """Give the deepest nesting of brackets outside strings; of any bytes, valid JSON or not."""
    brackets = _STRING.sub(b"", raw).translate(None, _NOT_BRACKETS)
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0)


def _may_be_deep(raw: bytes) -> bool:
    return raw.count(b"[") + raw.count(b"{") > DEPTH_MAX


def _is_suspicious(raw: bytes, canonical: bytes) -> bool:
    r"""Whether a closer look is needed: a dropped duplicate, a NUL, an integer beyond 64 bits.

    Each member has one colon outside strings, and the colons inside strings stand in both texts
    as they are unless one is written ``\u003a``. So without ``\u00`` escapes, equal counts mean
    that no member was dropped.
    """
    return (
        raw.count(b":") != canonical.count(b":")
        or b"\\u00" in raw
        or _LONG_NUMBER in raw.translate(_DIGITS_TO_ZERO)
    )


def _look_closely(raw: bytes) -> Rejection | None:
    """Examine a document that is JSON and not too deep."""
    if _NUL_ESCAPE.search(raw):
        return Rejection(
            Reason.NUL_CHARACTER,
            "a string holds the character \\u0000, which Postgres can store in neither text nor jsonb",
            "remove it, or send binary data as base64",
        )
    try:
        _standard_loads(raw.decode())
    except _RefusedError as refused:
        return refused.rejection
    return None


def _diagnose(raw: bytes, complaint: str) -> Rejection:
    """Find out why ``orjson`` refused these bytes."""
    if raw.startswith(_BOM):
        return Rejection(
            Reason.BYTE_ORDER_MARK,
            "the value starts with a byte order mark",
            "write UTF-8 without a byte order mark (in Python: encoding 'utf-8', not 'utf-8-sig')",
        )
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        return Rejection(
            Reason.BAD_UTF8,
            f"the value is not UTF-8: byte {error.start} is {raw[error.start]:#04x}",
            "encode the record as UTF-8 JSON; send binary data as base64 inside a string",
        )
    if depth(raw) > DEPTH_MAX:
        return _too_deep()
    return _diagnose_text(text, complaint)


def _diagnose_text(text: str, complaint: str) -> Rejection:
    try:
        value = _standard_loads(text)
        json.dumps(value, ensure_ascii=False).encode()
    except _RefusedError as refused:
        return refused.rejection
    except UnicodeEncodeError:
        return Rejection(
            Reason.LONE_SURROGATE,
            "a string holds half of a surrogate pair (such as \\ud800), which is no character",
            "write the character as UTF-8, or both halves of the pair; send binary data as base64",
        )
    except (ValueError, RecursionError):
        pass
    return Rejection(
        Reason.INVALID_JSON,
        f"the value is not JSON: {shorten(complaint, 200)}",
        "send one JSON object per record, as a JSON library writes it",
    )


def _standard_loads(text: str) -> object:
    return json.loads(
        text,
        object_pairs_hook=_object_without_duplicates,
        parse_int=_integer_in_range,
        parse_float=_finite_float,
        parse_constant=_refuse_constant,
    )


def _object_without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            # A key may hold half a surrogate pair here; the rejection must be writable.
            name = shorten(key.encode(errors="replace").decode())
            raise _RefusedError(
                Rejection(
                    Reason.DUPLICATE_KEY,
                    f"the key {name!r} stands twice in one object, and readers differ on which one counts",
                    "write every key once",
                    name,
                )
            )
        seen.add(key)
    return members


def _integer_in_range(literal: str) -> int:
    # The length is asked first: int() of hundreds of thousands of digits is slow, and refused.
    if len(literal) > 20 or not INTEGER_MIN <= int(literal) <= INTEGER_MAX:
        raise _RefusedError(
            Rejection(
                Reason.NUMBER_OUT_OF_RANGE,
                f"an integer of {len(literal.lstrip('-'))} digits does not fit into 64 bits, "
                "and most readers would round it",
                "send it as a string",
            )
        )
    return int(literal)


def _finite_float(literal: str) -> float:
    value = float(literal)
    if value in (float("inf"), float("-inf")):
        raise _RefusedError(
            Rejection(
                Reason.NUMBER_OUT_OF_RANGE,
                "a number is larger than a double can hold",
                "send it as a string",
            )
        )
    return value


def _refuse_constant(literal: str) -> NoReturn:
    raise _RefusedError(
        Rejection(
            Reason.NOT_A_NUMBER,
            f"{literal} is not JSON",
            "send null or a string instead (in Python: json.dumps(..., allow_nan=False) finds it)",
        )
    )


def _too_deep() -> Rejection:
    return Rejection(
        Reason.TOO_DEEP,
        f"the value is nested more than {DEPTH_MAX} levels deep",
        "flatten it, or send the nested document as a string",
    )


def _not_an_object(value: object) -> Rejection:
    kind = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}.get(
        type(value), "a number"
    )
    return Rejection(
        Reason.NOT_AN_OBJECT,
        f"the value is {kind}, not an object",
        'send one JSON object per record, such as {"type": "email.send", "payload": {}}',
    )
