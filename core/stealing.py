"""Which partitions an idle executor takes work from besides its own, and when. Pure.

Claims need no ownership: the first claim in the ledger holds, whoever appends it. So stealing decides
nothing about correctness; it decides how soon a free slot meets a waiting dispatch, at what price in
reading, and how often two executors claim the same dispatch for nothing.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

from core.log import TopicPartition

LOOK_S = 0.75
"""Between two looks of an idle executor at how far the others are, while anything waits there. A quarter
less is still more than the 0.5 s in which an owner commits what it handled at once, so that never looks
stuck."""
LOOK_MAX_S = 2.0
"""Between two looks when nothing was seen to wait for a while."""
FOLLOW_S = 60.0
"""How long a partition is followed after it was last seen waiting, or last stolen from."""
UNEVEN_S = 600.0
"""How long one look is enough after something was stuck or stolen: executors that were all busy for minutes
must not begin to find out again when the first slot comes free."""
LOOK_GAP_S = 0.25
"""Least time between two looks, also when slots come free all the time."""
PATIENCE_MS = 30
"""Age a dispatch must have before it is stolen: an owner with a free slot has claimed it by then, and the
claim has come back to everybody who follows the partition."""
SPREAD_MS = 60
"""Idle executors take a dispatch at different ages, spread over so much: the first one's claim is seen by
most others before their time has come."""

BACKOFF_MS = 50
"""Pause of stealing from a partition after a claim there was refused; doubles with every further one."""
BACKOFF_LEVELS = 7
"""The longest pause is 3.2 s, give or take half."""


class Progress(NamedTuple):
    """How far a group has come in one partition of one topic."""

    committed: int
    """Offset below which everything is handled; the log's start when nothing ever was."""
    end: int

    @property
    def lag(self) -> int:
        """Records at most that wait."""
        return max(0, self.end - self.committed)


Look = Mapping[TopicPartition, Progress]
"""What was seen at one time."""


def stuck(before: Look, now: Look) -> dict[int, int]:
    """Give, by partition number, how many records were there at the look before and are not handled now.

    An upper bound: what is handled behind an unhandled record counts too, since commits are contiguous.
    Partitions with none are left out.
    """
    found: Counter[int] = Counter()
    for lane, past in before.items():
        left = min(past.end, now[lane].end) - now[lane].committed if lane in now else 0
        if left > 0:
            found[lane.partition] += left
    return dict(found)


def worth_following(before: Look, now: Look, *, is_uneven: bool) -> dict[int, int]:
    """Give the partitions to follow by two looks, with how much is stuck in each.

    While owners keep up, none. Once something was stuck anywhere all where anything waits: by the time a
    second look could tell, a slot would have been free for nothing.

    Parameters
    ----------
    is_uneven
        Something was stuck in the last ``UNEVEN_S``.
    """
    found = stuck(before, now)
    if not found and not is_uneven:
        return {}
    return {lane.partition: 0 for lane, seen in now.items() if seen.lag} | found


def follow_next(
    followed: Mapping[int, float],
    waiting: Mapping[int, int],
    owned: Collection[int],
    *,
    now_s: float,
    most: int,
    name: str,
) -> dict[int, float]:
    """Decide which partitions of others to follow from now on, and until when (seconds, as ``now_s``).

    At most ``most``. Those followed already come first, then those with more work (by powers of two), then
    an order of each executor's own, so that executors that cannot follow all spread out.

    Parameters
    ----------
    followed
        Partition to the time until which it is followed.
    waiting
        Partition to what is stuck there, as ``worth_following`` gives it.
    name
        Of this executor.
    """
    until = {partition: at_s for partition, at_s in followed.items() if at_s > now_s}
    until |= dict.fromkeys(waiting, now_s + FOLLOW_S)
    wanted = [partition for partition in until if partition not in owned]
    wanted.sort(
        key=lambda partition: (
            partition not in followed,
            -waiting.get(partition, 0).bit_length(),
            _weight(name, str(partition)),
            partition,
        )
    )
    return {partition: until[partition] for partition in wanted[:most]}


def ripe_ms(queued_ms: int, dispatch: str, name: str) -> int:
    """From when on this executor may steal a dispatch: broker time, in milliseconds, like ``queued_ms``."""
    return queued_ms + PATIENCE_MS + _weight(name, dispatch) * SPREAD_MS // 0x1_0000


class Backoff(NamedTuple):
    """How often claims in one partition of others came too late of late, and until when to leave it alone.

    Where jobs are so short that claims, not slots, are what everybody waits for, owner and thieves would
    otherwise claim the same heads all the time.
    """

    level: int = 0
    until_ms: int = 0

    def after(self, *, holds: bool, now_ms: int, draw: float) -> "Backoff":
        """Give what follows from a claim that was read back; while it pauses, nothing does.

        Parameters
        ----------
        draw
            Uniform in [0, 1): those who met once must not meet again.
        """
        if now_ms < self.until_ms:
            return self
        if holds:
            return Backoff(max(0, self.level - 1), self.until_ms)
        pause_ms = BACKOFF_MS * 2**self.level * (0.5 + draw)
        return Backoff(min(BACKOFF_LEVELS - 1, self.level + 1), now_ms + int(pause_ms))


def look_again_s(quiet_looks: int, draw: float) -> float:
    """Give the seconds until the next look.

    Parameters
    ----------
    quiet_looks
        Looks in a row at which nothing waited anywhere.
    draw
        Uniform in [0, 1): executors that began together do not stay together.
    """
    base_s = min(LOOK_MAX_S, LOOK_S * 2.0 ** min(quiet_looks, 8))
    return base_s * (0.75 + 0.5 * draw)


def _weight(name: str, what: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{name}/{what}".encode(), digest_size=2).digest(), "big")
