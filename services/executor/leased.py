"""The executor's boot id and lease: heartbeats that list what is held, and the end of it all on a lapse."""

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable

from core.lease import Lease
from core.log import NewRecord
from ports.failpoints import Failpoint, reached
from ports.meter import Metric
from schemas.codec import encode
from schemas.executors import Heartbeat
from services.executor.context import ExecutorContext
from services.executor.held import Held

logger = logging.getLogger(__name__)


def boot_clock_s() -> float:
    """Seconds of a clock that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Leased:
    """Keeps the lease. After a lapse everything held is dropped and a new boot id begins."""

    def __init__(
        self,
        context: ExecutorContext,
        held: Held,
        *,
        slots: int,
        lease_s: float,
        heartbeat_s: float,
        types: Callable[[], tuple[str, ...]],
        renew: Callable[[float], None],
        lapsed: Callable[[], Awaitable[None]],
    ) -> None:
        self._context = context
        self._held = held
        self._slots = slots
        self._lease_s = lease_s
        self._heartbeat_s = heartbeat_s
        self._types = types
        self._renew = renew
        self._on_lapse = lapsed
        self._seq = 0
        self._farewells: list[NewRecord] = []
        """Goodbyes of boot ids whose lease lapsed, to be sent with the next heartbeat."""
        self._lease = Lease(lease_s)
        self.boot_id = self._new_boot_id()
        self.draining = False
        self.confirmed = asyncio.Event()
        """Set by the first confirmed heartbeat of this boot id."""

    def _new_boot_id(self) -> str:
        return f"{self._context.instance}:{secrets.token_hex(4)}"

    @property
    def holds(self) -> bool:
        """Whether the lease holds now."""
        return self._lease.check(self._context.now_s())

    @property
    def may_claim(self) -> bool:
        """Whether new claims may be made: a confirmed lease, and no drain."""
        return self.holds and not self.draining

    @property
    def lease_s(self) -> float:
        """Length of the lease, seconds."""
        return self._lease_s

    async def beat(self, stopped: asyncio.Event, claimable: Callable[[], None]) -> None:
        """Send heartbeats until ``stopped``; ``claimable`` is called after each confirmation."""
        while not stopped.is_set():
            boot_id = self.boot_id
            await self._send(goodbye=False)
            claimable()
            if boot_id != self.boot_id:
                # It was stuck until the lease had lapsed: the new boot id has waited long enough.
                continue
            try:
                await asyncio.wait_for(stopped.wait(), self._heartbeat_s)
            except TimeoutError:
                continue

    async def watch(self, stopped: asyncio.Event) -> None:
        """Drop everything as soon as the lease has lapsed, also while a heartbeat is stuck."""
        while not stopped.is_set():
            if not self.holds and self._lease.lapsed:
                await self._lapse()
            await asyncio.sleep(min(0.25, self._heartbeat_s / 4))

    async def say_goodbye(self) -> None:
        """Tell the keeper that nothing is held under this boot id any more."""
        await self._send(goodbye=True)
        reached(Failpoint.GOODBYE_SAID)

    def _heartbeat(self, *, goodbye: bool) -> NewRecord:
        """Make the next heartbeat of the current boot id."""
        self._seq += 1
        beat = Heartbeat(
            executor=self.boot_id,
            instance=self._context.instance,
            pool=self._context.pool,
            seq=self._seq,
            held=self._held.keys(),
            slots=self._slots,
            wall_ms=int(time.time() * 1000),
            draining=self.draining,
            goodbye=goodbye,
            types=self._types(),
            host=socket.gethostname(),
            pid=os.getpid(),
            version=self._context.version,
            lease_s=self._lease_s,
            stolen=self._held.count_stolen(),
        )
        headers = (("schema", b"1"), ("kind", b"HEARTBEAT"))
        return NewRecord(self._context.routes.executors, 0, self.boot_id.encode(), encode(beat), headers)

    async def _send(self, *, goodbye: bool) -> None:
        boot_id, lease, sent_at_s = self.boot_id, self._lease, self._context.now_s()
        farewells, self._farewells = self._farewells, []
        reached(Failpoint.HEARTBEAT_DUE)
        await self._context.appender.append([*farewells, self._heartbeat(goodbye=goodbye)])
        reached(Failpoint.HEARTBEAT_APPENDED)
        if boot_id != self.boot_id:
            # The lease lapsed while this heartbeat was on its way: it confirms nothing.
            return
        lease.confirm(sent_at_s, self._context.now_s())
        if lease.check(self._context.now_s()):
            self._renew(lease.until_s)
            reached(Failpoint.LEASE_RENEWED)
            self.confirmed.set()

    async def _lapse(self) -> None:
        dropped = len(self._held)
        logger.error(
            "the lease of %s lapsed: no heartbeat was confirmed for %.1f s; %d held jobs are dropped, "
            "they will be tried again elsewhere",
            self.boot_id,
            self._lease_s,
            dropped,
        )
        self._context.meter.count(Metric.LEASE_LAPSES)
        self.confirmed.clear()
        # Everything of the old lease ends before a new one can begin.
        await self._on_lapse()
        # Nothing of ours runs under the old boot id now, and none of its claims is ever started: the
        # keeper need not wait for a lease of silence, which a heartbeat that was stuck begins anew.
        self._farewells.append(self._heartbeat(goodbye=True))
        self.boot_id = self._new_boot_id()
        self._lease = Lease(self._lease_s)
        self._seq = 0
