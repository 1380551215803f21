"""Name the job a cancel by id alone is about, once the table knows it: then it holds for ever."""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from core.ledger.verdicts import Cancel
from core.log import TopicPartition
from ports.failpoints import Failpoint, reached
from ports.log import Appender, GroupMember, PartitionReader
from ports.stage import stopped_within
from ports.state_table import CancelledRow, CancelledRows, TableUnavailableError
from schemas.codec import ledger_record
from schemas.ledger import FoldedEvent, LedgerFolds
from schemas.topics import RouteMap
from services.materializer.decide import named_cancels, retry_delay_s, unnamed_cancels
from services.materializer.materialize import Materialize

logger = logging.getLogger(__name__)

TURN_S = 1.0


class _Asked(NamedTuple):
    """Jobs to be looked up once everything that stood in the log when they were noted is in the table."""

    job_ids: set[str]
    end: int


class CancelNamer:
    """Repeats cancels that name no job with the origin of the job, read from the table.

    Only a cancel that is still remembered and has not ended its job is repeated, judged by a fold that has
    read on to the end of the log as it was after the cancel was noted: one that was taken back by a redrive
    meanwhile is left alone, however often the table is filled anew.

    Parameters
    ----------
    step
        Tells how far the table is.
    reader
        Asked for ends of the log alone.
    """

    def __init__(
        self,
        *,
        routes: RouteMap,
        folds: LedgerFolds,
        step: Materialize,
        member: GroupMember,
        reader: PartitionReader,
        rows: CancelledRows,
        appender: Appender,
    ) -> None:
        self._routes = routes
        self._folds = folds
        self._step = step
        self._member = member
        self._reader = reader
        self._rows = rows
        self._appender = appender
        self._assignment = 0
        self._noted: dict[int, set[str]] = {}
        self._asked: dict[int, _Asked] = {}

    def note(self, events: Iterable[FoldedEvent]) -> None:
        """Take in a batch that is in the table."""
        for partition, job_id in unnamed_cancels(events, self._folds.fold):
            self._noted.setdefault(partition, set()).add(job_id)

    async def run(self, stopping: asyncio.Event) -> None:
        """Go round until ``stopping``; while Postgres is away the cancels stay noted."""
        failures = 0
        while not await stopped_within(stopping, TURN_S if not failures else retry_delay_s(failures)):
            try:
                await self.turn()
            except TableUnavailableError as error:
                failures += 1
                logger.warning("cancels by id alone wait for Postgres: %s", error)
            else:
                failures = 0

    async def turn(self) -> None:
        """Go round once."""
        self._follow_assignment()
        await self._ask()
        due = {
            partition: asked
            for partition, asked in self._asked.items()
            if self._step.positions_of([partition])[partition] >= asked.end
        }
        for partition, asked in due.items():
            await self._name(partition, asked.job_ids)
            del self._asked[partition]

    def _follow_assignment(self) -> None:
        """Begin a partition with all its fold remembers; whoever had it before may have died over one."""
        assignment = self._member.assignment
        if assignment.number == self._assignment or not self._step.is_restored(assignment.partitions):
            return
        self._assignment = assignment.number
        self._asked.clear()
        remembered = {
            number: set(self._folds.fold(number).cancelled_ahead) for number in assignment.partitions
        }
        self._noted = {number: job_ids for number, job_ids in remembered.items() if job_ids}

    async def _ask(self) -> None:
        wanted = [partition for partition in self._noted if partition not in self._asked]
        if not wanted:
            return
        places = [TopicPartition(self._routes.ledger, partition) for partition in wanted]
        ends = await self._reader.end_offsets(places)
        for place, end in ends.items():
            self._asked[place.partition] = _Asked(self._noted.pop(place.partition), end)

    async def _name(self, partition: int, job_ids: set[str]) -> None:
        rows = await self._rows.cancelled(sorted(job_ids))
        cancels = named_cancels(_cancels(rows), self._folds.fold(partition))
        reached(Failpoint.CANCEL_UNNAMED, when=cancels)
        await self._appender.append([ledger_record(self._routes, cancel) for cancel in cancels])
        reached(Failpoint.CANCEL_NAMED, when=cancels)


def _cancels(rows: Iterable[CancelledRow]) -> Mapping[str, Cancel]:
    return {row.origin: Cancel(row.origin, row.job_id, row.by, row.reason) for row in rows}
