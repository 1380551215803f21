"""An ``Appender`` on the log in memory."""

import asyncio
from collections.abc import Sequence

from adapters.memory.broker import MemoryBroker
from core.log import Appended, NewRecord, size_bytes
from ports.log import RecordTooLargeError


class MemoryAppender:
    """Appends to a ``MemoryBroker``, one call at a time and in the order of the calls."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    async def append(self, records: Sequence[NewRecord]) -> list[Appended]:
        """See ``ports.log.Appender.append``."""
        for index, record in enumerate(records):
            size = size_bytes(record)
            if size > self._broker.record_max_bytes:
                raise RecordTooLargeError(index, size)
        # A real acknowledgement is never there at once: whoever relies on that is found out here.
        await asyncio.sleep(0)
        await self._broker.faults.until_back()
        fault = self._broker.faults.take_failing_append() if records else None
        if fault is not None:
            written, error = fault
            for record in records[:written]:
                self._broker.write(record)
            raise error
        return [self._broker.write(record) for record in records]

    async def close(self) -> None:
        """Nothing to finish: an append is over when it returns."""
