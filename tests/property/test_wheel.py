"""The delay wheel: never early, late by at most its promise, in few hops."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.wheel import TICK_MS, TIER_DELAYS_MS, TIERS, hop_at, leaves_at_ms, tier_for

YEAR_MS = 365 * 86_400_000
FURTHEST_MS = 8000 * YEAR_MS
"""RFC 3339 ends with the year 9999."""
SLOW_MS = 40
"""Longest simulated time of one append, and of noticing that a record may leave."""


@given(st.integers(0, YEAR_MS), st.data())
def test_a_record_is_never_early_and_late_by_at_most_a_tick_and_its_last_hop(
    delay_ms: int, data: st.DataObject
) -> None:
    now_ms, hops = 1_700_000_000_000, 0
    due_ms = now_ms + delay_ms
    while (tier := tier_for(due_ms - now_ms)) is not None:
        appended_ms = now_ms + data.draw(st.integers(0, SLOW_MS))
        now_ms = leaves_at_ms(tier, appended_ms) + data.draw(st.integers(0, SLOW_MS))
        hops += 1
    assert now_ms >= due_ms
    assert now_ms - due_ms < TICK_MS + 2 * SLOW_MS
    # At most three hops a tier, but for the longest, which has no longer one above it.
    assert hops <= 3 * TIERS + 1 + delay_ms // TIER_DELAYS_MS[-1]


@given(st.integers(0, 3 * TIER_DELAYS_MS[-1]), st.integers(0, 8000), st.data())
def test_years_are_waited_for_in_the_longest_tier_and_end_as_punctual_as_days(
    last_ms: int, years: int, data: st.DataObject
) -> None:
    """However late single hops were, lateness does not add up: each hop looks at what remains."""
    due_ms = years * YEAR_MS + 3 * TIER_DELAYS_MS[-1] + last_ms
    remaining_ms = due_ms
    # Whole turns of the longest tier at once, each late by a second; the rest one by one.
    turns = (remaining_ms - 2 * TIER_DELAYS_MS[-1]) // (TIER_DELAYS_MS[-1] + 1000)
    assert all(
        tier_for(remaining_ms - turn * (TIER_DELAYS_MS[-1] + 1000)) == TIERS - 1 for turn in (0, turns)
    )
    remaining_ms -= turns * (TIER_DELAYS_MS[-1] + 1000)
    while (tier := tier_for(remaining_ms)) is not None:
        remaining_ms -= TIER_DELAYS_MS[tier] + data.draw(st.integers(0, SLOW_MS))
    assert -TICK_MS - SLOW_MS < remaining_ms <= 0


@given(st.integers(-FURTHEST_MS, 0))
def test_what_is_due_takes_no_hop(remaining_ms: int) -> None:
    assert tier_for(remaining_ms) is None


@given(st.integers(1, FURTHEST_MS))
def test_a_hop_is_the_longest_that_is_not_too_long(remaining_ms: int) -> None:
    tier = tier_for(remaining_ms)
    assert tier is not None
    assert tier == 0 or TIER_DELAYS_MS[tier] <= remaining_ms
    assert tier == TIERS - 1 or TIER_DELAYS_MS[tier + 1] > remaining_ms


@pytest.mark.parametrize("tier", range(TIERS))
def test_a_delay_of_exactly_one_tier_takes_one_hop_and_is_exact(tier: int) -> None:
    assert tier_for(TIER_DELAYS_MS[tier]) == tier
    assert leaves_at_ms(tier, 7) == 7 + TIER_DELAYS_MS[tier]


@given(st.integers(0, TIERS - 1), st.lists(st.integers(0, YEAR_MS), max_size=20))
def test_inside_a_tier_first_in_is_first_out(tier: int, appended_ms: list[int]) -> None:
    leaving = [leaves_at_ms(tier, at_ms) for at_ms in sorted(appended_ms)]
    assert leaving == sorted(leaving)


@given(st.integers(0, YEAR_MS), st.integers(0, YEAR_MS), st.integers(0, YEAR_MS))
def test_where_a_record_stands_is_where_its_hops_have_brought_it(
    entered_ms: int, delay_ms: int, passed_ms: int
) -> None:
    due_ms, now_ms = entered_ms + delay_ms, entered_ms + passed_ms
    hop = hop_at(entered_ms, due_ms, now_ms)
    if hop is None:
        assert due_ms <= now_ms
        return
    tier, leaves_ms = hop
    assert now_ms < leaves_ms <= max(due_ms, now_ms) + TICK_MS
    assert leaves_ms - TIER_DELAYS_MS[tier] <= now_ms
    # The hop that was right when it was made.
    assert tier == tier_for(due_ms - (leaves_ms - TIER_DELAYS_MS[tier]))
