"""Put a batch of ledger records into the table, however long the database takes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from core.log import Record
from ports.meter import Meter, Metric
from ports.stage import stopped_within
from ports.state_table import OffsetsMovedError, StateTable, TableUnavailableError
from schemas.ledger import FoldedEvent, LedgerFolds
from services.materializer.decide import moves_of, retry_delay_s, rows_from

logger = logging.getLogger(__name__)

Earliest = Callable[[int], Awaitable[int | None]]
"""Gives the first offset of a partition that a fold can begin at; None where there is no such place."""


class Health(Protocol):
    """What the step says of the service's health."""

    def beat(self) -> None:
        """Say that the loop came round."""
        ...

    def set_unready(self, reason: str) -> None:
        """Say why it cannot."""
        ...


class StoppedError(Exception):
    """The service was told to stop while the database was away; the batch stays in the log."""


@dataclass(slots=True)
class _Folded:
    """A batch on its way: what was read and how far that reaches, per partition."""

    events: list[FoldedEvent]
    starts: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)


class Materialize:
    """The step of the materializer: fold, drop what the table has, write the rest until it is in.

    Nothing is polled while a batch waits for the database, so at most one batch is in memory.
    """

    def __init__(
        self,
        *,
        topic: str,
        folds: LedgerFolds,
        table: StateTable,
        meter: Meter,
        health: Health,
        now_ms: Callable[[], int],
        stopping: asyncio.Event,
    ) -> None:
        self._topic = topic
        self._folds = folds
        self._table = table
        self._meter = meter
        self._health = health
        self._now_ms = now_ms
        self._stopping = stopping
        self._positions: dict[int, int] = {}
        """Per partition the table's next offset, as far as known; a write finds out if it is wrong."""

    async def find_positions(self, partitions: Collection[int], earliest: Earliest) -> None:
        """Return when the table has said how far it is, less what an older version wrote.

        Parameters
        ----------
        earliest
            Nothing goes back to before this.

        Raises
        ------
        StoppedError
            The service stops.
        """
        failures = 0
        while True:
            try:
                await self._go_back(await self._table.left_behind(partitions), earliest)
                self._positions = await self._table.positions(partitions)
            except TableUnavailableError as error:
                failures += 1
                await self._wait(failures, 0, error)
            else:
                return

    async def _go_back(self, left_behind: Mapping[int, int], earliest: Earliest) -> None:
        """Let everything that an older version wrote be written again, as far as it can still be folded."""
        found: dict[int, int] = {}
        for partition, offset in left_behind.items():
            begin = await earliest(partition)
            if begin is not None:
                found[partition] = max(offset, begin)
        if found:
            logger.info("an older version wrote the table; it is written again from %s", found)
            await self._table.go_back(found)

    def positions_of(self, partitions: Iterable[int]) -> dict[int, int]:
        """Give how far the table is, as far as known: 0 where that is not known."""
        return {number: self._positions.get(number, 0) for number in partitions}

    def is_restored(self, partitions: Iterable[int]) -> bool:
        """Whether the fold of these partitions has come to where the table is, as far as known."""
        return all(self._folds.next_offset(number) >= self._positions.get(number, 0) for number in partitions)

    async def work(self, records: list[Record]) -> list[FoldedEvent]:
        """Give what the records say, when all of it is in the table.

        Raises
        ------
        StoppedError
            The service stops; nothing of the batch may be committed.
        services.materializer.decide.TableBehindError, schemas.ledger.LedgerGapError
            The process must start over.
        """
        folded = self._fold(records)
        failures = 0
        while True:
            try:
                await self._write(folded)
            except OffsetsMovedError as moved:
                # Another member took over and is further, or our own last try was heard after all.
                logger.warning("positions moved: %s; reading them again", moved)
                self._positions.clear()
            except TableUnavailableError as error:
                failures += 1
                self._positions.clear()
                await self._wait(failures, len(records), error)
            else:
                break
        if failures:
            logger.warning("Postgres takes writes again after %d tries", failures)
        self._measure(records)
        return folded.events

    def _fold(self, records: list[Record]) -> _Folded:
        partitions = {record.partition for record in records}
        starts = {partition: self._folds.next_offset(partition) for partition in partitions}
        events = self._folds.take(records)
        return _Folded(
            events, starts, {partition: self._folds.next_offset(partition) for partition in partitions}
        )

    async def _write(self, folded: _Folded) -> None:
        unknown = folded.ends.keys() - self._positions.keys()
        if unknown:
            self._positions |= await self._table.positions(unknown)
        moves = moves_of(folded.starts, folded.ends, self._positions)
        if not moves:
            return
        await self._table.write(rows_from(folded.events, self._positions), moves)
        self._positions |= {partition: move.new for partition, move in moves.items()}

    async def _wait(self, failures: int, waiting: int, error: Exception) -> None:
        delay_s = retry_delay_s(failures)
        self._health.beat()
        self._health.set_unready(f"no Postgres ({error}); {waiting} records wait, nothing is dropped")
        logger.warning(
            "Postgres takes no writes (%s); %d records wait, trying again in %.1f s", error, waiting, delay_s
        )
        if await stopped_within(self._stopping, delay_s):
            raise StoppedError

    def _measure(self, records: list[Record]) -> None:
        self._meter.observe(Metric.BATCH, len(records), stage="materializer")
        newest_ms = max(record.timestamp_ms for record in records)
        self._meter.gauge(
            Metric.LAG_SECONDS, max(0.0, (self._now_ms() - newest_ms) / 1000), topic=self._topic
        )
