"""Times and durations as people type them on the command line."""

from datetime import UTC, datetime, timedelta

import typer
from pydantic_core import PydanticCustomError

from penstock.durations import seconds
from penstock.errors import TaskDefinitionError
from schemas.times import parse_rfc3339


def duration(text: str | timedelta) -> timedelta:
    """Read ``30d``, ``12h``, ``5m``, ``1h30m``; a default of a command passes unchanged.

    Raises
    ------
    typer.BadParameter
        It is something else.
    """
    if isinstance(text, timedelta):
        return text
    try:
        length_s = seconds(text, "the value") if not _is_bare_number(text) else None
    except TaskDefinitionError:
        length_s = None
    if length_s is None:
        raise typer.BadParameter(f"{text!r} is no duration: write 30s, 5m, 12h, 30d or 1h30m")
    return timedelta(seconds=length_s)


def time_ahead(text: str, now: datetime | None = None) -> str:
    """Read ``+10s`` (from now, by this machine's clock) or RFC 3339, and give RFC 3339.

    Raises
    ------
    typer.BadParameter
        It is neither.
    """
    if text.startswith("+"):
        return ((now or datetime.now(UTC)) + duration(text[1:])).isoformat()
    _parsed(text, "+10s")
    return text


def time_back(text: str, now: datetime | None = None) -> datetime:
    """Read ``1h`` (ago, by this machine's clock) or RFC 3339.

    Raises
    ------
    typer.BadParameter
        It is neither.
    """
    if text[:4].isdigit() and "-" in text:
        return _parsed(text, "1h")
    return (now or datetime.now(UTC)) - duration(text)


def age(then: datetime | None, now: datetime) -> str:
    """Write how long ago something was, in its largest unit; nothing when it never was."""
    if then is None:
        return ""
    return span((now - then).total_seconds())


def span(length_s: float) -> str:
    """Write a length of time in its largest unit."""
    sign, rest_s = ("-", -length_s) if length_s < 0 else ("", length_s)
    if rest_s < 1:
        return f"{sign}{rest_s * 1000:.0f}ms"
    for unit, unit_s in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if rest_s >= 2 * unit_s:
            return f"{sign}{rest_s / unit_s:.0f}{unit}"
    return f"{sign}{rest_s:.1f}s"


def ms_of(at: datetime) -> int:
    """Give a time as ms since 1970, as records have it."""
    return round(at.timestamp() * 1000)


def _parsed(text: str, other_form: str) -> datetime:
    try:
        return parse_rfc3339(text)
    except PydanticCustomError as error:
        raise typer.BadParameter(
            f"{text!r}: {error.message()}; write {other_form} or RFC 3339 with a zone, such as "
            "2030-01-31T08:00:00Z"
        ) from None


def _is_bare_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()
