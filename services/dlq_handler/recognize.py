"""Recognize failures: which kind of failure each is, learning the kinds that are new."""

from collections.abc import Mapping

from core.log import Coordinate
from ports.failpoints import Failpoint, reached
from ports.log import Appender, PartitionReader
from schemas.signatures import SignatureFold, met_record, place_of_signatures
from schemas.topics import RouteMap
from services.dlq_handler.decide import Failure

POLL_S = 0.5


class Recognizer:
    """Names failures by what all dlq_handlers learned together; used by one task at a time.

    What is known is answered from memory: a kind, once given, stays. What is new is appended, read back, and
    named as the log says, so of two that learn at once both end with the same.

    Parameters
    ----------
    reader
        Used for this alone; the caller closes it.
    """

    def __init__(self, routes: RouteMap, appender: Appender, reader: PartitionReader) -> None:
        self._routes = routes
        self._appender = appender
        self._reader = reader
        self._place = place_of_signatures(routes)
        self._fold = SignatureFold()

    async def start(self) -> None:
        """Read all that was learned; waits while the broker is away."""
        await self._catch_up()

    async def recognize(self, failures: Mapping[Coordinate, Failure]) -> dict[Coordinate, str]:
        """Give the kind of each failure, 16 hex digits; waits while the broker is away.

        Left out is what could not be learned: another version wrote the log otherwise.
        """
        if self._unknown(failures):
            await self._catch_up()
        unknown = self._unknown(failures)
        if unknown:
            reached(Failpoint.SIGNATURES_DUE)
            await self._appender.append([met_record(self._routes, *one) for one in unknown])
            reached(Failpoint.SIGNATURES_TOLD)
            await self._catch_up()
        found = {place: self._fold.book.find(*failure) for place, failure in failures.items()}
        return {place: kind for place, kind in found.items() if kind is not None}

    def _unknown(self, failures: Mapping[Coordinate, Failure]) -> list[Failure]:
        return [one for one in dict.fromkeys(failures.values()) if self._fold.book.find(*one) is None]

    async def _catch_up(self) -> None:
        """Read to the end known now; nothing is fetched between two such readings."""
        end = (await self._reader.end_offsets([self._place]))[self._place]
        if self._fold.next_offset >= end:
            return
        await self._reader.assign({self._place: self._fold.next_offset})
        try:
            while self._reader.position(self._place) < end:
                for record in await self._reader.poll(POLL_S):
                    self._fold.take(record)
        finally:
            await self._reader.assign({})
