"""Waits for jobs to end: polls the table, and after a while looks among the refused records too."""

import asyncio
import time
from collections.abc import Sequence

from penstock.client.rejections import RejectionWatch
from penstock.client.rows import TERMINAL_STATES, JobRow, SubmittedRef
from penstock.client.table import StateTable
from penstock.errors import WaitTimeout

POLL_FIRST_S = 0.01
POLL_GROWTH = 1.5
POLL_LAST_S = 0.5
PORTION = 5000
"""Ids in one query."""
LOOK_FOR_REFUSAL_AFTER_S = 0.3
"""An accepted job has its row well before; so the reader of refused records is rarely needed."""


class Waiter:
    """Knows when jobs have ended; any number of waits may run at once."""

    def __init__(self, table: StateTable, rejections: RejectionWatch) -> None:
        self._table = table
        self._rejections = rejections

    async def ended(
        self, job_ids: Sequence[str], refs: Sequence[SubmittedRef], until: float
    ) -> dict[str, JobRow]:
        """Give the rows of all jobs once all are terminal.

        Parameters
        ----------
        refs
            Of those jobs whose record is known, so that a refusal can be found.
        until
            On ``time.monotonic``; infinity waits for ever.

        Raises
        ------
        JobRejected, WaitTimeout, NotConnected
            See ``Client.wait``.
        """
        began, pause_s = time.monotonic(), POLL_FIRST_S
        missing, watched = set(job_ids), list[SubmittedRef]()
        try:
            while missing := missing - await self._table.ended(sorted(missing)):
                if not watched and time.monotonic() - began >= LOOK_FOR_REFUSAL_AFTER_S:
                    watched = await self._watch(refs)
                self._raise_refusal(watched)
                left_s = until - time.monotonic()
                if left_s <= 0:
                    raise WaitTimeout(_still_open(missing))
                await asyncio.sleep(min(pause_s, left_s))
                pause_s = min(pause_s * POLL_GROWTH, POLL_LAST_S)
            return await self._table.rows(job_ids)
        finally:
            self._rejections.release(watched)

    async def states(self, job_ids: Sequence[str], until: float) -> dict[str, str]:
        """Give the state of every job that has a row, once all have ended or at ``until``.

        In portions, so that a million ids are no burden for the database.
        """
        pause_s, found = POLL_FIRST_S, dict[str, str]()
        missing = list(dict.fromkeys(job_ids))
        while True:
            for start in range(0, len(missing), PORTION):
                found |= await self._table.states(missing[start : start + PORTION])
            missing = [job_id for job_id in missing if found.get(job_id) not in TERMINAL_STATES]
            left_s = until - time.monotonic()
            if not missing or left_s <= 0:
                return found
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * POLL_GROWTH, POLL_LAST_S)

    async def _watch(self, refs: Sequence[SubmittedRef]) -> list[SubmittedRef]:
        """Begin to look for refusals of the records whose jobs are not in the table."""
        known = await self._table.known([ref.job_id for ref in refs])
        unknown = [ref for ref in refs if ref.job_id not in known]
        self._rejections.want(unknown)
        return unknown

    def _raise_refusal(self, watched: Sequence[SubmittedRef]) -> None:
        for ref in watched:
            refusal = self._rejections.found(ref)
            if refusal is not None:
                raise refusal


def _still_open(missing: set[str]) -> str:
    first = min(missing)
    others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return f"job {first}{others} had not ended when the wait did; it goes on"
