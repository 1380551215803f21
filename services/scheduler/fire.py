"""Fire the ticks of schedules: each becomes a job in ``jobs``, and only then counts as fired."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import NamedTuple

from core.log import NewRecord, TopicPartition, size_bytes
from core.schedules import Due
from core.timing import next_tick
from ports.failpoints import Failpoint, reached
from ports.log import Appender, GroupMember, PartitionReader
from ports.meter import Meter, Metric
from schemas.schedule_book import ScheduleBook, View
from schemas.schedules import Fired, fired_record, plans_of, rfc3339, tick_record
from schemas.topics import APPEND_MAX_BYTES, RouteMap

logger = logging.getLogger(__name__)

POLL_S = 0.5
"""Longest wait for records and ticks; also how soon a stop is noticed."""
RECORDS_MAX = 500
REFRESH_MAX = 200
"""Schedules whose next tick is computed in one go: 20 ms, well under a tick of the wheel beside it."""
FIRE_MAX = 500
"""Ticks after which a turn appends: a few ms of work for this process and one batch for the broker."""
EACH_MAX = 100
_ROUND_UP_S = 0.001
"""The reader waits whole milliseconds, rounded down; without this it would spin before each tick."""


class Firing(NamedTuple):
    """What one schedule's ticks become."""

    partition: int
    fired: Fired
    jobs: list[NewRecord]
    missed_since_ms: int | None
    lateness_ms: list[int]


class Firer:
    """Follows the schedules of the job partitions this scheduler owns, and fires them.

    Before anything fires, the topic is read to an end that was asked for after the time was taken. Whatever
    is appended later is also later by the broker's clock, so no edit can change the ticks up to that time.
    Two schedulers that both believe to own a schedule, one of them woken after an hour, fire the same ticks
    as the same jobs, and the id gate lets each through once.

    Parameters
    ----------
    reader, ends
        One reads the topic, the other is asked where it ends. A broker answers a connection in order, so a
        question behind a fetch that is held would make every tick late by up to half a second.
    """

    def __init__(
        self,
        *,
        routes: RouteMap,
        reader: PartitionReader,
        ends: PartitionReader,
        appender: Appender,
        member: GroupMember,
        meter: Meter,
        now_ms: Callable[[], int],
    ) -> None:
        self._routes = routes
        self._reader = reader
        self._ends = ends
        self._appender = appender
        self._member = member
        self._meter = meter
        self._now_ms = now_ms
        self._book = ScheduleBook(_say_broken)
        self._followed: list[TopicPartition] = []

    async def run(self, stopping: asyncio.Event) -> None:
        """Fire until ``stopping``."""
        while not stopping.is_set():
            await self.turn()

    async def turn(self) -> None:
        """Go round once: follow, read, and fire what is due."""
        await self._follow()
        if not self._followed:
            await asyncio.sleep(POLL_S)
            return
        self._book.take(await self._reader.poll(self._wait_s(), RECORDS_MAX))
        await self._refresh()
        due_ms = self._book.next_due_ms()
        if due_ms is not None and due_ms <= self._now_ms():
            await self._fire()

    def _wait_s(self) -> float:
        due_ms = self._book.next_due_ms()
        if due_ms is None:
            return POLL_S
        return max(0.0, min(POLL_S, (due_ms - self._now_ms()) / 1000 + _ROUND_UP_S))

    async def _follow(self) -> None:
        """Read the partitions of the current assignment; one that is new is read from its start."""
        wanted = self._routes.schedule_places(self._member.assignment.partitions)
        if wanted == self._followed:
            return
        lost = frozenset(place.partition for place in self._followed) - {p.partition for p in wanted}
        self._book.forget(lost)
        starts = await self._ends.start_offsets(wanted) if wanted else {}
        await self._reader.assign(starts)
        self._followed = wanted
        logger.info("follows the schedules of partitions %s", [place.partition for place in wanted])

    async def _refresh(self) -> None:
        is_done = False
        while not is_done:
            is_done = self._book.refresh(REFRESH_MAX)
            await asyncio.sleep(0)
        self._meter.gauge(Metric.SCHEDULES, len(self._book))

    async def _fire(self) -> None:
        now_ms = self._now_ms()
        await self._read_to_end()
        firings = [
            self._firing(view, due, now_ms) for view, due in self._book.take_due(now_ms, FIRE_MAX, EACH_MAX)
        ]
        jobs = [job for firing in firings for job in firing.jobs]
        reached(Failpoint.TICKS_DUE, when=jobs)
        await self._appender.append(jobs)
        reached(Failpoint.TICKS_APPENDED, when=firings)
        await self._appender.append([fired_record(self._routes, firing.fired) for firing in firings])
        reached(Failpoint.TICKS_SETTLED, when=firings)
        for firing in firings:
            self._book.settle(firing.partition, firing.fired)
        self._measure(firings)

    async def _read_to_end(self) -> None:
        """Read on to where the log ends now."""
        ends = await self._ends.end_offsets(self._followed)
        while any(self._reader.position(place) < end for place, end in ends.items()):
            self._book.take(await self._reader.poll(POLL_S, RECORDS_MAX))
            await self._refresh()

    def _firing(self, view: View, due: Due, now_ms: int) -> Firing:
        defined, plans = view.defined, plans_of(view.defined)
        jobs = [tick_record(self._routes, defined, plans[tick.segment], tick.at_ms) for tick in due.fire]
        fitting = [job for job in jobs if size_bytes(job) <= APPEND_MAX_BYTES]
        if len(fitting) < len(jobs):
            logger.error("schedule %s: its job is too large for Kafka; it does not run", defined.name)
        fired = Fired(
            defined.name,
            defined.incarnation,
            due.through_ms,
            last_ms=due.fire[-1].at_ms if due.fire else view.fired.last_ms,
            fired=view.fired.fired + len(due.fire),
            next_ms=next_tick(defined.plan.timing, due.through_ms),
        )
        lateness_ms = [now_ms - tick.at_ms for tick in due.fire]
        return Firing(view.partition, fired, fitting, due.missed_since_ms, lateness_ms)

    def _measure(self, firings: Iterable[Firing]) -> None:
        for firing in firings:
            if firing.missed_since_ms is not None:
                logger.warning(
                    "schedule %s: ticks since %s were missed; fired %d of them and of those due now",
                    firing.fired.name,
                    rfc3339(firing.missed_since_ms),
                    len(firing.jobs),
                    extra={"schedule": firing.fired.name},
                )
            if firing.jobs:
                self._meter.count(Metric.TICKS, len(firing.jobs))
            for late_ms in firing.lateness_ms:
                self._meter.observe(Metric.TICK_LATENESS, late_ms / 1000)


def _say_broken(name: str, error: Exception) -> None:
    logger.error(
        "schedule %s does not fire: %s; define it again with `penstock schedule create --replace`",
        name,
        error,
    )
