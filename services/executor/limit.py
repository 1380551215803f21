"""Rate limits: this executor's tokens, what of a limit is its part, and what it says it wants."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Collection
from enum import Enum, auto

from core.limits import SLOT_MS, DemandLog, Limit, TokenBucket
from core.log import NewRecord
from core.subjects import HasCircuit, Subject
from ports.failpoints import Failpoint, reached
from ports.meter import Metric
from ports.stage import stopped_within
from schemas.codec import encode
from schemas.executors import Demand
from schemas.standing_orders import StandingOrders
from services.executor.context import ExecutorContext

WAKE_MIN_S = 0.02
"""Least time until the claimer looks for tokens again; a bucket holds what comes meanwhile."""


class Came(Enum):
    """How a dispatch came to wait for tokens of a subject."""

    NEW = auto()
    BACK = auto()
    """It was held for this subject's limit, and handed on as there was room for it."""
    BY_THE_WAY = auto()
    """It was held for another subject's limit, by which there is a bound to how many there are."""


class Room(Counter[tuple[Subject, Came]]):
    """How many dispatches of each limited subject wait in memory."""

    def of(self, subject: Subject) -> int:
        """All together."""
        return sum(self[subject, came] for came in Came)


class Limiter:
    """Gives tokens to claims.

    Parameters
    ----------
    demand
        What all executors said, as far as ``executors`` was read.
    wants_more
        Whether there is a slot for what waits.
    may_claim
        Whether this executor claims at all; else others get its part.
    """

    def __init__(
        self,
        context: ExecutorContext,
        orders: StandingOrders,
        demand: DemandLog,
        *,
        wants_more: Callable[[], bool],
        may_claim: Callable[[], bool],
    ) -> None:
        self._context = context
        self._orders = orders
        self._demand = demand
        self._wants_more = wants_more
        self._may_claim = may_claim
        self._buckets: dict[Subject, TokenBucket] = {}
        self._slot = -1
        self._taken: Counter[Subject] = Counter()
        self._taken_before: Counter[Subject] = Counter()
        self.name = self._new_name()
        """Under which it has its part now."""
        self._has_spoken = False
        """Under this name."""
        self.room = Room()
        """What waits here of its own partitions."""
        self.stealable = Room()
        """What waits in partitions of others, as far as it is followed."""

    def limits_of(self, job: HasCircuit) -> tuple[Subject, ...]:
        """Give the subjects of a job that need a token."""
        return self._orders.limits_of(job)

    def limit(self, subject: Subject) -> Limit | None:
        """Give the limit of a subject, None when it has none (any more)."""
        return self._orders.limits.get(subject)

    def may_take(self, subjects: Collection[Subject]) -> bool:
        """Whether there is a token of each."""
        if not subjects:
            return True
        self._refresh()
        now_s = self._context.now_s()
        return all(self._bucket(one).may_take(now_s) for one in subjects if one in self._orders.limits)

    def may_begin(self, job: HasCircuit, subjects: Collection[Subject]) -> bool:
        """Whether a job that waits as one of these subjects may be claimed now, by pauses and tokens.

        A job of which another subject was limited meanwhile is passed over until it is sifted again.
        """
        if self._orders.pause_of(job) is not None or self._orders.limits_of(job) != tuple(subjects):
            return False
        return self.may_take(subjects)

    def take(self, subjects: Collection[Subject]) -> bool:
        """Take a token of each, or none at all."""
        if not self.may_take(subjects):
            return False
        now_s = self._context.now_s()
        for one in subjects:
            if one in self._orders.limits:
                self._bucket(one).take(now_s)
                self._taken[one] += 1
        return True

    def give_back(self, subjects: Collection[Subject]) -> None:
        """Put back the tokens of a dispatch that was not claimed after all."""
        for one in subjects:
            if one in self._orders.limits:
                self._bucket(one).give_back()
                self._taken[one] -= 1

    def next_in_s(self) -> float | None:
        """Give the seconds until something that waits may have its tokens; None: nothing waits."""
        rooms = (self.room, self.stealable)
        waiting = {subject for room in rooms for (subject, _), count in room.items() if count > 0}
        if not waiting:
            return None
        self._refresh()
        now_s = self._context.now_s()
        soon = (self._bucket(one).next_in_s(now_s) for one in waiting)
        return max(WAKE_MIN_S, min((one for one in soon if one is not None), default=SLOT_MS / 1000))

    def keep_up(self) -> None:
        """Give every limit its bucket: it fills also while nothing waits."""
        self._refresh()
        for subject in self._orders.limits:
            self._bucket(subject)

    def read(self) -> None:
        """Note that more of what executors said was read."""
        self._slot = -1

    def _bucket(self, subject: Subject) -> TokenBucket:
        bucket = self._buckets.get(subject)
        if bucket is None:
            bucket = self._buckets[subject] = TokenBucket()
            self._set(subject, bucket)
        return bucket

    def _refresh(self) -> None:
        """Give every bucket its part of this slot; nothing when the log was not read far enough."""
        slot = self._context.now_ms() // SLOT_MS
        if slot == self._slot:
            return
        self._slot = slot
        for gone in self._buckets.keys() - self._orders.limits.keys():
            del self._buckets[gone]
        for subject, bucket in self._buckets.items():
            self._set(subject, bucket)

    def _set(self, subject: Subject, bucket: TokenBucket) -> None:
        limit = self._orders.limits.get(subject)
        if limit is None:
            return
        now_s = self._context.now_s()
        parts = self._demand.shares(str(subject), limit.rate_per_s, self._context.now_ms())
        if parts is None:
            bucket.suspend(now_s)
        else:
            bucket.set(limit, parts.get(self.name, 0.0), now_s)

    async def run(self, stopping: asyncio.Event) -> None:
        """Say what is wanted in every slot while there are limits; once, that nothing is any more."""
        while not stopping.is_set():
            self.keep_up()
            if not self._orders.limits or not self._may_claim():
                await self._leave()
            else:
                self._has_spoken = True
                await self._say(Demand(self.name, self._wants()))
            # In time for all to have read it before the slot is over.
            left_ms = SLOT_MS - self._context.now_ms() % SLOT_MS
            await stopped_within(stopping, left_ms / 1000)
        await self._leave()

    async def _leave(self) -> None:
        """Let others have its part at once, if it had one."""
        if self._has_spoken:
            # None of its parts is this one's from here on, before anybody reads so.
            name, self.name, self._has_spoken = self.name, self._new_name(), False
            self.read()
            await self._say(Demand(name, leaving=True))

    def _new_name(self) -> str:
        return f"{self._context.instance}:{secrets.token_hex(4)}"

    async def _say(self, demand: Demand) -> None:
        headers = (("schema", b"1"), ("kind", b"DEMAND"))
        key = demand.name.encode()
        reached(Failpoint.DEMAND_DUE)
        await self._context.appender.append(
            [NewRecord(self._context.routes.executors, 0, key, encode(demand), headers)]
        )
        reached(Failpoint.DEMAND_APPENDED)

    def _wants(self) -> dict[str, tuple[float, int]]:
        """Give claims a second: what is used, and what waits as far as there are slots for it."""
        used = self._taken + self._taken_before
        self._taken_before, self._taken = self._taken, Counter()
        wants: dict[str, tuple[float, int]] = {}
        for subject in self._orders.limits:
            # What others own waits there too, and is counted there.
            waiting = self.room.of(subject) or self.stealable.of(subject)
            returned = self.room[subject, Came.BACK]
            per_s = used[subject] / (2 * SLOT_MS / 1000) + (waiting if self._wants_more() else 0)
            if per_s > 0 or returned:
                wants[str(subject)] = (round(per_s, 3), returned)
        self._context.meter.gauge(Metric.LIMITED_WAITING, self.room.total(), pool=self._context.pool)
        return wants
