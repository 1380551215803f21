"""Why a record is no job: the reasons, and what a producer is told to do about each."""

from enum import StrEnum
from typing import NamedTuple

EXCERPT_MAX_CHARS = 80
"""Longest excerpt of a refused value; enough to recognise it, too short to carry a document."""


class Reason(StrEnum):
    """Why a record was refused; stable names, fit for a metric label."""

    NULL_RECORD = "null_record"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"
    BAD_UTF8 = "bad_utf8"
    BYTE_ORDER_MARK = "byte_order_mark"
    INVALID_JSON = "invalid_json"
    NOT_AN_OBJECT = "not_an_object"
    TOO_DEEP = "too_deep"
    DUPLICATE_KEY = "duplicate_key"
    NOT_A_NUMBER = "not_a_number"
    NUMBER_OUT_OF_RANGE = "number_out_of_range"
    LONE_SURROGATE = "lone_surrogate"
    NUL_CHARACTER = "nul_character"
    UNKNOWN_FIELD = "unknown_field"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    INVALID_VALUE = "invalid_value"
    CONTRADICTION = "contradiction"
    UNKNOWN_POOL = "unknown_pool"
    KEY_CONFLICT = "key_conflict"
    INTERNAL_ERROR = "internal_error"


class Rejection(NamedTuple):
    """Why one record is refused.

    Nothing in it comes from inside ``payload`` except the names of keys, so it may be logged.
    """

    reason: Reason
    message: str
    """What is wrong, in one sentence."""
    remedy: str
    """What the producer can do."""
    field: str | None = None
    """Field, as ``labels.colour`` or ``depends_on.3``; None when the whole record is meant."""
    value_excerpt: str | None = None
    """Beginning of the refused value as JSON."""


def shorten(text: str, limit: int = EXCERPT_MAX_CHARS) -> str:
    """Cut ``text`` to at most ``limit`` characters, the last one an ellipsis when cut."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
