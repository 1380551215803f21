"""Fetch the jobs that decisions are about: from what was just read, else that very record again."""

from collections import OrderedDict
from collections.abc import Iterable

from core.log import Coordinate, Record
from ports.fetch import RecordFetcher
from schemas.accepted_job import FailedAttempt
from schemas.codec import decode_dead, decode_failed, decode_queued
from schemas.topics import RouteMap
from services.dlq_handler.decide import attempt_of_queued


class Attempts:
    """Failed attempts by the coordinate that verdicts name; remembers the newest.

    Parameters
    ----------
    max_bytes
        Bound on the encoded size of what is remembered; the least recently used goes first.
    """

    def __init__(self, fetcher: RecordFetcher, routes: RouteMap, max_bytes: int) -> None:
        self._fetcher = fetcher
        self._dlq, self._dead = routes.dlq, routes.dead
        self._max_bytes = max_bytes
        self._held: OrderedDict[Coordinate, tuple[FailedAttempt, int]] = OrderedDict()
        self._bytes = 0

    def remember(self, record: Record) -> None:
        """Keep a record of ``jobs.dlq``, of ``jobs.dead`` or of an execution topic."""
        self._keep(record.coordinate, self._read(record), len(record.value or b""))

    async def get(self, wanted: Iterable[Coordinate]) -> dict[Coordinate, FailedAttempt]:
        """Give the attempts that stand there; errors as ``RecordFetcher.fetch``."""
        attempts: dict[Coordinate, FailedAttempt] = {}
        unknown: list[Coordinate] = []
        for place in wanted:
            held = self._held.get(place)
            if held is None:
                unknown.append(place)
            else:
                self._held.move_to_end(place)
                attempts[place] = held[0]
        if unknown:
            for place, record in (await self._fetcher.fetch(unknown)).items():
                attempts[place] = self._read(record)
                self._keep(place, attempts[place], len(record.value or b""))
        return attempts

    def _read(self, record: Record) -> FailedAttempt:
        if record.topic == self._dlq:
            return decode_failed(record)
        if record.topic == self._dead:
            return decode_dead(record).last
        return attempt_of_queued(decode_queued(record))

    def _keep(self, place: Coordinate, attempt: FailedAttempt, size_bytes: int) -> None:
        _, old_bytes = self._held.pop(place, (None, 0))
        self._held[place] = (attempt, size_bytes)
        self._bytes += size_bytes - old_bytes
        while self._bytes > self._max_bytes:
            _, (_, dropped_bytes) = self._held.popitem(last=False)
            self._bytes -= dropped_bytes
