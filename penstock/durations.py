"""Durations as people write them: ``"30s"``, ``"1h30m"``, ``2.5`` (seconds), ``timedelta``."""

import math
import re
from datetime import timedelta

from penstock.errors import TaskDefinitionError

Duration = str | float | timedelta
"""A length of time: text with units, a number of seconds, or a timedelta."""

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_WHOLE = re.compile(rf"\s*(?:{_PART.pattern}\s*)+")


def seconds(duration: Duration, what: str) -> float:
    """Give a duration in seconds, finite and above zero.

    Parameters
    ----------
    what
        The name of the setting, for the error message.

    Raises
    ------
    TaskDefinitionError
        It is not a duration; the message shows the value and the accepted forms.
    """
    length_s = _read(duration)
    if length_s is None or not math.isfinite(length_s) or length_s <= 0:
        message = (
            f"{what} is {duration!r}, which is not a duration above zero; "
            f'write "30s", "5m", "1h30m", a number of seconds or a timedelta'
        )
        raise TaskDefinitionError(message)
    return length_s


def _read(duration: object) -> float | None:
    match duration:
        case bool():
            return None
        case int() | float():
            return float(duration)
        case timedelta():
            return duration.total_seconds()
        case str() if _WHOLE.fullmatch(duration):
            return sum(float(number) * _UNIT_S[unit] for number, unit in _PART.findall(duration))
        case _:
            return None
