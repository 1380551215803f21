"""Rates as people write and read them."""

import pytest
import typer

from penstock.cli.holds import rate_per_s, rate_text


@pytest.mark.parametrize(
    ("text", "per_s"), [("50/s", 50.0), ("0.5/s", 0.5), ("30/m", 0.5), ("90/h", 0.025), (" 1/s ", 1.0)]
)
def test_rates_are_numbers_per_second_minute_or_hour(text: str, per_s: float) -> None:
    assert rate_per_s(text) == pytest.approx(per_s)


@pytest.mark.parametrize("text", ["50", "50/d", "-1/s", "0/s", "s", "1e3/s", "2000000/s", "0.001/h", "inf/s"])
def test_another_rate_is_refused_with_what_is_possible(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught:
        rate_per_s(text)
    assert caught.value.exit_code == 2
    assert "RATE" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["50/s", "0.5/s", "30/m", "90/h", "0.5/h"])
def test_a_rate_reads_as_it_was_written_or_the_same(text: str) -> None:
    assert rate_per_s(rate_text(rate_per_s(text))) == pytest.approx(rate_per_s(text))
