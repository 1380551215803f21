"""Keep a table up with a topic that is not the ledger, beside the ledger."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Protocol

from core.log import Record, TopicPartition
from core.offsets import next_positions
from ports.log import GroupMember, PartitionReader
from ports.stage import stopped_within
from ports.state_table import Move, OffsetsMovedError, TableUnavailableError
from services.materializer.decide import retry_delay_s

logger = logging.getLogger(__name__)

POLL_S = 0.5
RECORDS_MAX = 500

Places = Callable[[Collection[int]], list[TopicPartition]]
Fold = Callable[[list[Record]], None]
Write = Callable[[list[Record], Mapping[int, Move]], Awaitable[None]]


class Positions(Protocol):
    """A table that knows how far it is; errors as of ``ports.state_table.StateTable``."""

    async def positions(self, partitions: Iterable[int]) -> dict[int, int]:
        """Give the next offset of each partition."""
        ...


class Follower:
    """Follows what goes with the ledger partitions this materializer owns.

    The rows are a function of the topic, and merging a record again changes nothing. Positions by
    compare-and-set only say where to read on; two that follow one partition take turns.

    Parameters
    ----------
    what
        For people: what the table shows.
    places
        Gives the partitions that go with these of the ledger, always in one order.
    write
        Merges what records say and moves the positions, in one transaction.
    fold
        Where rows are more than a record says: takes every record there is from the topic's start on, also
        again, before what is new of it is written.
    """

    def __init__(
        self,
        *,
        what: str,
        places: Places,
        reader: PartitionReader,
        member: GroupMember,
        table: Positions,
        write: Write,
        fold: Fold | None = None,
    ) -> None:
        self._what = what
        self._places = places
        self._reader = reader
        self._member = member
        self._table = table
        self._write = write
        self._fold = fold
        self._followed: list[TopicPartition] | None = None
        self._at: dict[int, int] = {}

    async def run(self, stopping: asyncio.Event) -> None:
        """Follow until ``stopping``; while Postgres is away it waits, and the topic keeps everything."""
        failures = 0
        while not stopping.is_set():
            try:
                await self.turn()
                failures = 0
            except OffsetsMovedError:
                # Another materializer took over, or an earlier try of our own was heard after all.
                self._followed = None
            except TableUnavailableError as error:
                failures += 1
                self._followed = None
                logger.warning("the table of %s waits for Postgres: %s", self._what, error)
                await stopped_within(stopping, retry_delay_s(failures))

    async def turn(self) -> None:
        """Go round once."""
        await self._follow()
        if not self._followed:
            await asyncio.sleep(POLL_S)
            return
        records = await self._reader.poll(POLL_S, RECORDS_MAX)
        if self._fold is not None:
            self._fold(records)
            records = [record for record in records if record.offset >= self._at[record.partition]]
        if not records:
            return
        ends = {place.partition: end for place, end in next_positions(records).items()}
        moves = {number: Move(self._at[number], end) for number, end in ends.items()}
        await self._write(records, moves)
        self._at |= ends

    async def _follow(self) -> None:
        wanted = self._places(self._member.assignment.partitions)
        if wanted == self._followed:
            return
        await self._reader.assign({})
        if wanted:
            self._at = await self._table.positions(place.partition for place in wanted)
            starts = await self._reader.start_offsets(wanted)
            begin = self._at if self._fold is None else {}
            await self._reader.assign(
                {place: max(start, begin.get(place.partition, 0)) for place, start in starts.items()}
            )
        self._followed = wanted
