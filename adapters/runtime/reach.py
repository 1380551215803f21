"""Whether a broker answers: what readiness says beside what the steps say of themselves."""

import asyncio
import logging
import time
from typing import Protocol

from adapters.telemetry.health import Health

logger = logging.getLogger(__name__)

LOOK_S = 5.0
ANSWER_TIMEOUT_S = 5.0
UNACKNOWLEDGED_S = 10.0
"""An append that waits so long shows that its partition takes none, though brokers may answer."""


class Broker(Protocol):
    """What is asked."""

    async def answers(self, timeout_s: float) -> bool:
        """Whether any broker answered within this time."""
        ...

    @property
    def waiting_s(self) -> float:
        """How long the oldest append under way has waited, 0 when there is none."""
        ...


def hindrance(silent_s: float, waiting_s: float) -> str | None:
    """Say what keeps the service from handing anything over; None when nothing does.

    Parameters
    ----------
    silent_s
        Since the last answer of a broker; 0 when the newest question was answered.
    waiting_s
        Age of the oldest append that was not acknowledged.
    """
    if silent_s > 0:
        return f"no broker has answered for {silent_s:.0f} s; nothing is dropped"
    if waiting_s >= UNACKNOWLEDGED_S:
        return f"an append has waited {waiting_s:.0f} s for its acknowledgement; nothing is dropped"
    return None


class BrokerWatch:
    """Keeps ``Health.hindrance`` up to date.

    A step that waits for the log cannot say so itself: it stands still. It is not stuck either, so
    the watch beats for it, and no orchestrator ends a process that would only have to wait again.
    """

    def __init__(self, broker: Broker, health: Health) -> None:
        self._broker = broker
        self._health = health
        self._answered_s = time.monotonic()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Ask once, within ``ANSWER_TIMEOUT_S``."""
        answered = await self._broker.answers(ANSWER_TIMEOUT_S)
        now_s = time.monotonic()
        if answered:
            self._answered_s = now_s
        found = hindrance(now_s - self._answered_s, self._broker.waiting_s)
        if found is not None:
            self._health.beat()
        if found is not None and self._health.hindrance is None:
            logger.warning("waits: %s", found)
        if found is None and self._health.hindrance is not None:
            logger.info("brokers take records again")
        self._health.hindrance = found
