"""The jobs gates let pass: from what was just read, else their very records again."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from core.log import Coordinate, Record
from ports.fetch import RecordFetcher
from ports.log import OffsetOutOfRangeError


class WaitingJobs:
    """Records of gates by coordinate; remembers those that came last.

    Parameters
    ----------
    max_bytes
        Bound on the size of what is remembered; the longest there goes first, and is read again from the log
        when it is wanted.
    """

    def __init__(self, fetcher: RecordFetcher, max_bytes: int) -> None:
        self._fetcher = fetcher
        self._max_bytes = max_bytes
        self._held: OrderedDict[Coordinate, Record] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def remember(self, record: Record) -> None:
        """Keep a record that may be wanted later."""
        if self._held.setdefault(record.coordinate, record) is not record:
            return
        self._bytes += _size(record)
        while self._bytes > self._max_bytes:
            self._bytes -= _size(self._held.popitem(last=False)[1])

    async def get(
        self, wanted: Iterable[Coordinate], at_hand: Mapping[Coordinate, Record]
    ) -> dict[Coordinate, Record]:
        """Give these records, and forget them.

        Parameters
        ----------
        at_hand
            What was just read.

        Raises
        ------
        ports.fetch.MissingRecordError, ports.log.OffsetOutOfRangeError
            One is not in the log any more; the service must stop, a person must look.
        """
        found: dict[Coordinate, Record] = {}
        unknown: list[Coordinate] = []
        for place in wanted:
            held = self._held.pop(place, None)
            if held is not None:
                self._bytes -= _size(held)
            record = held or at_hand.get(place)
            if record is None:
                unknown.append(place)
            else:
                found[place] = record
        return found | await self._fetcher.fetch(unknown) if unknown else found

    async def find(
        self, wanted: Iterable[Coordinate], at_hand: Mapping[Coordinate, Record]
    ) -> dict[Coordinate, Record]:
        """Give those of these records that can still be read; forgets none.

        Raises
        ------
        ports.fetch.MissingRecordError
            One is beyond the end of the log; the service must stop, a person must look.
        """
        unknown = [place for place in dict.fromkeys(wanted) if place not in at_hand]
        found = {place: self._held[place] for place in unknown if place in self._held}
        unread = [place for place in unknown if place not in found]
        return found | await self._read(unread) if unread else found

    async def _read(self, places: list[Coordinate]) -> dict[Coordinate, Record]:
        try:
            return await self._fetcher.fetch(places)
        except OffsetOutOfRangeError:
            if len(places) == 1:
                return {}
        found: dict[Coordinate, Record] = {}
        for place in places:
            found |= await self._read([place])
        return found


def _size(record: Record) -> int:
    return len(record.value or b"") + len(record.key or b"")
