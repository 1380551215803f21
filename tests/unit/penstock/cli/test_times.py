"""Times and durations as people type them."""

from datetime import UTC, datetime, timedelta

import pytest
import typer

from penstock.cli.times import age, duration, span, time_ahead, time_back

NOW = datetime(2030, 1, 31, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("30d", timedelta(days=30)),
        ("12h", timedelta(hours=12)),
        ("5m", timedelta(minutes=5)),
        ("1h30m", timedelta(minutes=90)),
        ("250ms", timedelta(milliseconds=250)),
    ],
)
def test_a_duration_is_a_number_with_its_unit(text: str, length: timedelta) -> None:
    assert duration(text) == length


@pytest.mark.parametrize("text", ["30", "", "x", "-5m", "0s", "5 minutes ago", "1.5"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="30d"):
        duration(text)


def test_a_time_ahead_counts_from_now_or_is_rfc_3339() -> None:
    assert time_ahead("+10s", NOW) == "2030-01-31T08:00:10+00:00"
    assert time_ahead("2030-01-31T09:00:00+01:00", NOW) == "2030-01-31T09:00:00+01:00"


def test_a_time_back_counts_from_now_or_is_rfc_3339() -> None:
    assert time_back("1h", NOW) == datetime(2030, 1, 31, 7, tzinfo=UTC)
    assert time_back("2030-01-31T09:00:00+01:00", NOW) == NOW


@pytest.mark.parametrize("text", ["tomorrow", "2030-01-31", "2030-01-31T08:00:00"])
def test_a_time_without_zone_or_sense_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"\+10s or RFC 3339"):
        time_ahead(text, NOW)


@pytest.mark.parametrize(
    ("length_s", "text"),
    [
        (0.0123, "12ms"),
        (1.26, "1.3s"),
        (119, "119.0s"),
        (120, "2m"),
        (7200, "2h"),
        (200_000, "2d"),
        (-3, "-3.0s"),
    ],
)
def test_a_span_is_written_in_its_largest_unit(length_s: float, text: str) -> None:
    assert span(length_s) == text


def test_the_age_of_nothing_is_empty() -> None:
    assert age(None, NOW) == ""
    assert age(NOW - timedelta(hours=5), NOW) == "5h"
