"""Client throttling: a producer that is refused more and more sends less and less, by itself."""

import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from penstock.client.errors import NotConnected, NotSent, Throttled
from penstock.errors import SubmitUnknown

WINDOW_S = 120.0
"""What counts is what happened in so much of the newest time."""


class _Second(NamedTuple):
    at_s: float
    asked: int
    accepted: int


def refusal_share(asked: int, accepted: int, k: float) -> float:
    """Give the share of calls to refuse: ``max(0, (asked - k x accepted) / (asked + 1))``.

    "Site Reliability Engineering" (2016), chapter 21. The one in the divisor lets a probe through now and
    then also when nothing was accepted.
    """
    return max(0.0, (asked - k * accepted) / (asked + 1))


class Throttle:
    """Counts submits and what of them Kafka acknowledged, and refuses a share of calls before they are sent.

    Those it refuses count as submits, too. When everything is acknowledged again, the share that is sent
    about doubles every ``WINDOW_S``.

    Parameters
    ----------
    k
        At least 1; smaller holds back sooner. None refuses nothing.
    now_s, draw
        A clock that never goes back, and dice in [0, 1).
    """

    def __init__(
        self,
        k: float | None,
        now_s: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        if k is not None and not k >= 1:
            raise ValueError(
                f"throttle_k is {k!r}: 1 or more is possible, 2 is usual, None throttles nothing"
            )
        self._k = k
        self._now_s = now_s
        self._draw = draw
        self._seconds: deque[_Second] = deque()
        self._asked = self._accepted = 0

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Let a call through, and see whether it is acknowledged; what else it raises counts for nothing.

        Raises
        ------
        Throttled
            It is one of those to be refused; nothing was sent.
        """
        if self._k is None:
            yield
            return
        self._forget()
        share = refusal_share(self._asked, self._accepted, self._k)
        if self._draw() < share:
            problem = (
                f"nothing was sent: Kafka acknowledged {self._accepted} of {self._asked} submits of the last "
                f"{WINDOW_S:.0f} s, so {share:.0%} are held back here (`throttle_k`); repeat the call later"
            )
            self._count(1, 0)
            raise Throttled(problem)
        try:
            yield
        except (NotConnected, NotSent, SubmitUnknown):
            self._count(1, 0)
            raise
        self._count(1, 1)

    def _count(self, asked: int, accepted: int) -> None:
        self._asked += asked
        self._accepted += accepted
        now_s = self._now_s()
        newest = self._seconds[-1] if self._seconds else None
        if newest is not None and now_s - newest.at_s < 1:
            self._seconds[-1] = _Second(newest.at_s, newest.asked + asked, newest.accepted + accepted)
        else:
            self._seconds.append(_Second(now_s, asked, accepted))

    def _forget(self) -> None:
        since_s = self._now_s() - WINDOW_S
        while self._seconds and self._seconds[0].at_s < since_s:
            oldest = self._seconds.popleft()
            self._asked -= oldest.asked
            self._accepted -= oldest.accepted
