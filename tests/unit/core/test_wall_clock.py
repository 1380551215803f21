"""When a wrong wall clock is news."""

import pytest

from core.wall_clock import ANNOUNCE_EVERY_S, SKEW_NEWS_S, SKEW_WARN_S, announces_again, is_wrong


@pytest.mark.parametrize("announced_s", [0.0, 7200.0, -30.0])
def test_a_clock_that_moved_either_way_is_announced_and_one_that_stands_only_now_and_then(
    announced_s: float,
) -> None:
    assert announces_again(announced_s, announced_s + SKEW_NEWS_S, 0.0)
    assert announces_again(announced_s, announced_s - SKEW_NEWS_S, 0.0)
    assert not announces_again(announced_s, announced_s + 0.9 * SKEW_NEWS_S, ANNOUNCE_EVERY_S - 1)
    assert announces_again(announced_s, announced_s, ANNOUNCE_EVERY_S)


def test_a_wrong_clock_is_always_news_to_one_that_was_right() -> None:
    assert SKEW_NEWS_S <= SKEW_WARN_S
    assert is_wrong(SKEW_WARN_S + 0.1)
    assert is_wrong(-SKEW_WARN_S - 0.1)
    assert not is_wrong(SKEW_WARN_S)
