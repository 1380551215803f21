"""RFC 3339 times to milliseconds, without floating point and without a guess about the zone."""

import re
from datetime import UTC, datetime, timedelta

from pydantic_core import PydanticCustomError

RFC3339_PATTERN = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
"""Written so that every dialect of regular expressions reads it alike; the zone is required."""
_RFC3339 = re.compile(RFC3339_PATTERN)
_WITHOUT_ZONE = re.compile(RFC3339_PATTERN.removesuffix("([Zz]|[+-][0-9]{2}:[0-9]{2})"))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def parse_rfc3339(value: object) -> datetime:
    """Read an RFC 3339 date-time with a zone; an aware ``datetime`` passes unchanged.

    At most nine digits of a second are read and cut to microseconds. Leap seconds (``:60``) are
    refused, as everywhere in Python.

    Raises
    ------
    PydanticCustomError
        It is something else; pydantic turns it into an error of the field.
    """
    match value:
        case datetime() if value.tzinfo is not None:
            return value
        case str():
            return _parse_text(value)
        case datetime():
            raise PydanticCustomError("time_without_zone", "a time must carry its zone")
        case _:
            raise PydanticCustomError("string_type", "a time must be an RFC 3339 string, not a number")


def _parse_text(text: str) -> datetime:
    if _WITHOUT_ZONE.fullmatch(text):
        raise PydanticCustomError("time_without_zone", "the time has no zone")
    if not _RFC3339.fullmatch(text):
        raise PydanticCustomError("time_format", "not an RFC 3339 date and time")
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError as error:
        # The reason is Python's ("month must be in 1..12"); it never quotes more than the text.
        raise PydanticCustomError("time_format", "no such time: {why}", {"why": str(error)}) from error


def floor_ms(time: datetime) -> int:
    """Milliseconds since 1970, rounded down: for limits that must not be overrun."""
    return (time - _EPOCH) // _MS


def ceil_ms(time: datetime) -> int:
    """Milliseconds since 1970, rounded up: for times before which nothing may happen."""
    return -((_EPOCH - time) // _MS)
