"""Asking a broker that may be away: again and again, each time for a bounded while."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiokafka.errors import KafkaError, KafkaTimeoutError

logger = logging.getLogger(__name__)

T = TypeVar("T")

ASK_AGAIN_S = 0.5
"""Pause between two questions; a broker that comes back is noticed within it and a reconnect."""


async def answered(ask: Callable[[], Awaitable[T]], what: str, *, patience_s: float) -> T:
    """Give the answer to ``ask``, asked again while no broker answers.

    aiokafka gives up a question after its request time-out. A service has nothing better to
    do than to ask again: a restart of it would ask the same, and lose what it holds in memory.

    Parameters
    ----------
    what
        Names the question in the log.
    patience_s
        No new question so long after the first; 0 asks once.

    Raises
    ------
    aiokafka.errors.KafkaError
        The broker refused, or nothing answered in time.
    """
    began_s = time.monotonic()
    while True:
        try:
            return await ask()
        except KafkaError as error:
            waited_s = time.monotonic() - began_s
            if not _may_pass(error) or waited_s >= patience_s:
                raise
            logger.warning("no answer for %.0f s to: %s (%s); asking again", waited_s, what, error)
            await asyncio.sleep(ASK_AGAIN_S)


def _may_pass(error: KafkaError) -> bool:
    return error.retriable or isinstance(error, KafkaTimeoutError)
