"""Keep the table of schedules up with the topic ``schedules``, beside the ledger."""

import asyncio
import logging

from core.log import TopicPartition
from core.offsets import next_positions
from ports.log import GroupMember, PartitionReader
from ports.schedule_table import ScheduleTable
from ports.stage import stopped_within
from ports.state_table import Move, OffsetsMovedError, TableUnavailableError
from schemas.topics import RouteMap
from services.materializer.decide import retry_delay_s
from services.materializer.schedule_rows import schedule_rows

logger = logging.getLogger(__name__)

POLL_S = 0.5
RECORDS_MAX = 500


class ScheduleFollower:
    """Follows the schedules of the ledger partitions this materializer owns.

    The rows are a function of the topic, and merging a record again changes nothing. Positions by
    compare-and-set only say where to read on; two that follow one partition take turns.
    """

    def __init__(
        self, *, routes: RouteMap, reader: PartitionReader, member: GroupMember, table: ScheduleTable
    ) -> None:
        self._routes = routes
        self._reader = reader
        self._member = member
        self._table = table
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
                logger.warning("the table of schedules waits for Postgres: %s", error)
                await stopped_within(stopping, retry_delay_s(failures))

    async def turn(self) -> None:
        """Go round once."""
        await self._follow()
        if not self._followed:
            await asyncio.sleep(POLL_S)
            return
        records = await self._reader.poll(POLL_S, RECORDS_MAX)
        if not records:
            return
        ends = {place.partition: end for place, end in next_positions(records).items()}
        moves = {number: Move(self._at[number], end) for number, end in ends.items()}
        await self._table.write_schedules(schedule_rows(records), moves)
        self._at |= ends

    async def _follow(self) -> None:
        wanted = self._routes.schedule_places(self._member.assignment.partitions)
        if wanted == self._followed:
            return
        await self._reader.assign({})
        if wanted:
            self._at = await self._table.positions(place.partition for place in wanted)
            starts = await self._reader.start_offsets(wanted)
            await self._reader.assign(
                {place: max(start, self._at[place.partition]) for place, start in starts.items()}
            )
        self._followed = wanted
