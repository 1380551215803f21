from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic_core import PydanticCustomError

from schemas.times import ceil_ms, floor_ms, parse_rfc3339


@pytest.mark.parametrize(
    ("text", "down", "up"),
    [
        ("1970-01-01T00:00:00Z", 0, 0),
        ("1970-01-01T00:00:00.000001Z", 0, 1),
        ("1969-12-31T23:59:59.9999Z", -1, 0),
        ("2026-06-01T12:00:00.123456789+02:00", 1_780_308_000_123, 1_780_308_000_124),
        ("9999-12-31T23:59:59-12:00", 253_402_343_999_000, 253_402_343_999_000),
        ("0001-01-01T00:00:00+12:00", -62_135_640_000_000, -62_135_640_000_000),
    ],
)
def test_limits_round_down_and_starts_round_up(text: str, down: int, up: int) -> None:
    time = parse_rfc3339(text)
    assert (floor_ms(time), ceil_ms(time)) == (down, up)


def test_an_aware_datetime_passes_and_a_naive_one_does_not() -> None:
    aware = datetime(2030, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    assert parse_rfc3339(aware) is aware
    with pytest.raises(PydanticCustomError, match="zone"):
        parse_rfc3339(datetime(2030, 1, 1, tzinfo=UTC).replace(tzinfo=None))


@pytest.mark.parametrize(
    "text",
    ["2030-01-01T00:00:00", "2030-01-01T00:00Z", "2030-01-01T00:00:00.Z", "٢٠٣٠-01-01T00:00:00Z", " ", ""],
)
def test_other_forms_of_time_are_refused(text: str) -> None:
    with pytest.raises(PydanticCustomError):
        parse_rfc3339(text)
