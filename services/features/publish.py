"""Publish what is known, once a second: a key at most once, however many of its seconds were closed."""

import asyncio

from ports.failpoints import Failpoint, reached
from ports.log import Appender
from ports.stage import stopped_within
from services.features.fold import OutcomeFold

APPENDED_AT_ONCE = 2_000
"""Records of one append, about 1 MB."""


class Publisher:
    """Appends to ``features`` what the fold has not published.

    What it has taken and not appended when the process dies is published by the next: it begins with all.
    """

    def __init__(self, fold: OutcomeFold, appender: Appender, every_s: float) -> None:
        self._fold = fold
        self._appender = appender
        self._every_s = every_s

    async def run(self, stopping: asyncio.Event) -> None:
        """Publish until ``stopping``, and then once more."""
        while not stopping.is_set():
            await stopped_within(stopping, self._every_s)
            await self.publish()

    async def publish(self) -> None:
        """Append what changed."""
        records = self._fold.unpublished()
        for start in range(0, len(records), APPENDED_AT_ONCE):
            part = records[start : start + APPENDED_AT_ONCE]
            reached(Failpoint.FEATURES_TAKEN)
            await self._appender.append(part)
            reached(Failpoint.FEATURES_APPENDED)
