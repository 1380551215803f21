"""An executor's lease on what it holds, counted on its own clock."""

import math
from dataclasses import dataclass


def margin_s(lease_s: float) -> float:
    """Seconds before its end at which the holder gives a lease up by itself.

    Covers killing the workers and reading the clock late, so that nothing of ours runs any more
    when the keeper can prove the lapse; a tenth of the lease, at least half a second.
    """
    return max(0.5, lease_s / 10)


@dataclass(slots=True)
class Lease:
    """Valid from a confirmed heartbeat, counted from before it was sent, until it runs out.

    Times are seconds of one clock that goes on while the machine sleeps (``CLOCK_BOOTTIME``).
    A lapse is final: a new lease belongs to a new boot id.
    """

    lease_s: float
    confirmed_at_s: float | None = None
    lapsed: bool = False

    def confirm(self, sent_at_s: float, now_s: float) -> None:
        """Take in that a heartbeat sent at ``sent_at_s`` is in the log; too late revives nothing.

        That goes for the first as well: it stands in the log, so a keeper may have proven this boot id
        gone, and whatever was claimed under it afterwards would be declared lost while it runs.
        """
        if self.confirmed_at_s is None:
            self.confirmed_at_s = sent_at_s
            self.check(now_s)
        elif self.check(now_s):
            self.confirmed_at_s = max(sent_at_s, self.confirmed_at_s)

    def check(self, now_s: float) -> bool:
        """Whether the lease holds at ``now_s``; once it did not, it never does again."""
        if self.confirmed_at_s is None:
            return False
        if now_s >= self.until_s:
            self.lapsed = True
        return not self.lapsed

    @property
    def until_s(self) -> float:
        """When it ends unless it is confirmed again; the beginning of time when it never began.

        Workers are told this time and not what is left of it: whoever is stopped between reading the
        clock and passing on "so much longer" would lengthen the lease.
        """
        if self.confirmed_at_s is None:
            return -math.inf
        return self.confirmed_at_s + self.lease_s - margin_s(self.lease_s)
