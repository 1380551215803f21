"""Shares of recent work: they add up, fade, and ask nothing of a tenant that is alone."""

import math

from hypothesis import assume, given
from hypothesis import strategies as st

from core.tenant_share import HALF_LIFE_S, TENANTS_MAX, TenantShares

NOW_MS = 10**12
PIECES = st.tuples(st.sampled_from("abcd"), st.floats(0.01, 1000), st.integers(0, 600_000))
WORK = st.lists(PIECES, min_size=1, max_size=30)


def after(work: list[tuple[str, float, int]]) -> TenantShares:
    shares = TenantShares()
    for tenant, run_s, at_ms in sorted(work, key=lambda one: one[2]):
        shares.add(tenant, run_s, NOW_MS + at_ms)
    return shares


@given(WORK)
def test_excess_is_the_decayed_share_in_units_of_an_equal_one(work: list[tuple[str, float, int]]) -> None:
    shares, now_ms = after(work), NOW_MS + 700_000
    by_tenant = {
        tenant: math.fsum(
            run_s * 0.5 ** ((now_ms - NOW_MS - at_ms) / 1000 / HALF_LIFE_S)
            for name, run_s, at_ms in work
            if name == tenant
        )
        for tenant in {name for name, _, _ in work}
    }
    total = sum(by_tenant.values())
    least = 0.01 * max(by_tenant.values())
    assume(not any(math.isclose(one, least, rel_tol=1e-6) for one in by_tenant.values()))
    sharing = sum(one >= least for one in by_tenant.values())
    for tenant, one in by_tenant.items():
        expected = one / total * sharing if sharing > 1 else 1.0
        assert math.isclose(shares.excess(tenant, now_ms), expected, rel_tol=1e-6)


def test_a_tenant_alone_and_one_never_seen_are_not_held_back() -> None:
    shares = TenantShares()
    assert shares.excess("a", NOW_MS) == 1.0
    shares.add("a", 1e6, NOW_MS)
    assert shares.excess("a", NOW_MS + 1000) == 1.0
    shares.add("b", 1e6, NOW_MS + 1000)
    assert shares.excess("new", NOW_MS + 2000) == 0.0


def test_what_was_long_ago_counts_no_more() -> None:
    shares = TenantShares()
    shares.add("a", 1000.0, NOW_MS)
    later_ms = NOW_MS + round(40 * HALF_LIFE_S * 1000)
    shares.add("b", 1.0, later_ms)
    assert shares.excess("b", later_ms + 1000) == 1.0


def test_tenants_are_forgotten_by_how_little_they_had() -> None:
    shares = TenantShares()
    for number in range(TENANTS_MAX + 1):
        shares.add(str(number), 1.0 + number, NOW_MS)
    assert shares.excess(str(TENANTS_MAX), NOW_MS) > 0
    assert shares.excess("0", NOW_MS) == 0.0
