"""The delay wheel: topics of one constant delay each, and how any due time is reached by hops.

Inside a tier all records wait equally long, so first in, first out is exact and nothing blocks
anything. (Hashed and hierarchical timing wheels, Varghese and Lauck, SOSP 1987, laid on a log.)
"""

TIERS = 10
TICK_MS = 250
"""Delay of the shortest tier, and so the promise: never early, late by at most one tick of it."""
TIER_DELAYS_MS: tuple[int, ...] = tuple(TICK_MS * int(4**tier) for tier in range(TIERS))
"""250 ms, 1 s, 4 s, 16 s, 64 s, 256 s, 1024 s, 4096 s, 16384 s, 65536 s."""


def tier_for(remaining_ms: int) -> int | None:
    """Choose the tier of the next hop for a record due in ``remaining_ms``; None when it is due.

    The largest tier that is not longer than what remains; a remainder below the shortest tier
    takes the shortest, which is where the lateness of at most ``TICK_MS`` comes from.
    """
    if remaining_ms <= 0:
        return None
    tier = 0
    while tier + 1 < TIERS and TIER_DELAYS_MS[tier + 1] <= remaining_ms:
        tier += 1
    return tier


def leaves_at_ms(tier: int, appended_ms: int) -> int:
    """Broker time at which a record appended to ``tier`` at ``appended_ms`` may leave it."""
    return appended_ms + TIER_DELAYS_MS[tier]


def hop_at(entered_ms: int, due_ms: int, now_ms: int) -> tuple[int, int] | None:
    """Give the tier in which a record stands, and when it leaves it; None when it is due.

    Assumes that it entered the wheel at ``entered_ms`` and that every hop was made in time.
    """
    at_ms = entered_ms
    while (tier := tier_for(due_ms - at_ms)) is not None:
        leaves_ms = leaves_at_ms(tier, at_ms)
        if leaves_ms > now_ms:
            return tier, leaves_ms
        at_ms = leaves_ms
    return None
