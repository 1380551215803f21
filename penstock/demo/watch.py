"""Following a run until it has ended or nothing moves any more, through outages of its servers."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum

import aiohttp
import psycopg

from penstock.demo.submit import Submitter
from penstock.demo.table import Counts, RunTable
from penstock.demo.view import HELD_UP_NOTICE_S, Snapshot

LOOK_EVERY_S = 0.5
RATE_WINDOW_S = 5.0
_METRICS_TIMEOUT_S = 1.0
_SLOTS_BUSY = "penstock_executor_slots_busy"


class WatchEnd(Enum):
    """Why a watch ended."""

    DONE = "done"
    STALLED = "stalled"


class Watcher:
    """Looks at table, metrics and submitter twice a second and shows what it sees.

    Postgres being away is shown and waited for; so is Kafka, which the submitter notices.

    Parameters
    ----------
    jobs
        Jobs that must end.
    stall_s
        Give up when nothing has moved for this long: longer than a lease, after which lost work
        is tried again.
    """

    def __init__(
        self,
        table: RunTable,
        submitter: Submitter,
        show: Callable[[Snapshot], None],
        *,
        planned: int,
        jobs: int,
        slots: int,
        stall_s: float,
        metrics_ports: Mapping[str, int],
    ) -> None:
        self._table = table
        self._submitter = submitter
        self._show = show
        self._planned = planned
        self._jobs = jobs
        self._slots = slots
        self._stall_s = stall_s
        self._executors = [port for name, port in metrics_ports.items() if name.startswith("executor")]
        self._began_s = time.monotonic()
        self._counts = Counts()
        self._rates: deque[tuple[float, int]] = deque()
        self._moved: tuple[float, int, float] = (0.0, 0, 0.0)
        self._moved_at_s = self._began_s

    async def until_ended(self, submitting: asyncio.Task[None]) -> WatchEnd:
        """Watch until every job is terminal; raises what the submitter raised."""
        async with aiohttp.ClientSession() as http:
            while True:
                await self._look(http)
                if submitting.done():
                    await submitting
                    if self._is_done():
                        return WatchEnd.DONE
                if self._stalled():
                    return WatchEnd.STALLED
                await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self, http: aiohttp.ClientSession) -> None:
        troubles = []
        try:
            self._counts = await self._table.counts()
        except psycopg.OperationalError:
            troubles.append("Postgres is away, reconnecting; jobs keep flowing")
        held_up_s = self._submitter.held_up_s()
        if held_up_s > HELD_UP_NOTICE_S:
            troubles.append(f"Kafka has not answered for {held_up_s:.0f} s, reconnecting")
        now_s = time.monotonic()
        self._note_movement(now_s)
        self._show(
            Snapshot(
                elapsed_s=now_s - self._began_s,
                planned=self._planned,
                submitted=self._submitter.submitted,
                jobs=self._jobs,
                counts=self._counts,
                per_s=self._rate(now_s),
                slots_busy=await self._slots_busy(http),
                slots=self._slots,
                troubles=tuple(troubles),
            )
        )

    def _is_done(self) -> bool:
        return self._counts.seen == self._counts.terminal >= self._jobs

    def _note_movement(self, now_s: float) -> None:
        moved = (self._counts.changed_s, self._counts.terminal, self._submitter.submitted)
        if moved != self._moved:
            self._moved, self._moved_at_s = moved, now_s

    def _stalled(self) -> bool:
        return time.monotonic() - self._moved_at_s > self._stall_s

    def _rate(self, now_s: float) -> float:
        self._rates.append((now_s, self._counts.terminal))
        while now_s - self._rates[0][0] > RATE_WINDOW_S:
            self._rates.popleft()
        first_s, first = self._rates[0]
        return (self._counts.terminal - first) / (now_s - first_s) if now_s > first_s else 0.0

    async def _slots_busy(self, http: aiohttp.ClientSession) -> int | None:
        """Ask the executors; one that does not answer is left out."""
        answers = [busy for port in self._executors if (busy := await _busy_of(http, port)) is not None]
        return sum(answers) if answers else None


async def _busy_of(http: aiohttp.ClientSession, port: int) -> int | None:
    try:
        return int(await sum_of_metric(http, port, _SLOTS_BUSY))
    except (aiohttp.ClientError, TimeoutError):
        return None


async def sum_of_metric(http: aiohttp.ClientSession, port: int, prefix: str) -> float:
    """Ask a service of ours, and add up the samples that begin so.

    Raises
    ------
    aiohttp.ClientError, TimeoutError
        It does not answer.
    """
    timeout = aiohttp.ClientTimeout(total=_METRICS_TIMEOUT_S)
    async with http.get(f"http://127.0.0.1:{port}/metrics", timeout=timeout) as answer:
        return sum_of(await answer.text(), prefix)


def sum_of(exposition: str, prefix: str) -> float:
    """Add up the samples of a metrics page that begin so."""
    lines = (line for line in exposition.splitlines() if line.startswith(prefix))
    return sum(float(line.rpartition(" ")[2]) for line in lines)
