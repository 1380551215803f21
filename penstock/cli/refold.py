"""Folds the ledger into a set of tables, from where they are to where it is wanted."""

from collections.abc import Callable, Mapping

from adapters.postgres.sink import PostgresTable
from core.log import TopicPartition
from penstock.errors import PenstockError
from ports.log import PartitionReader
from ports.snapshots import SnapshotReader
from ports.state_table import Move
from schemas.ledger import LedgerFolds
from schemas.topics import RouteMap
from services.materializer.decide import rows_from

POLL_S = 2.0
BATCH_MAX = 5000
"""Most records in memory and in one transaction."""

Report = Callable[[int, int], None]
"""Told how many records are folded, and of how many."""


class NoBeginningError(PenstockError):
    """The ledger was trimmed, and nothing says what stood before."""


class Refold:
    """One fold of the ledger on its way into tables; every batch is committed, so it can go on later."""

    def __init__(
        self,
        routes: RouteMap,
        epoch: str,
        reader: PartitionReader,
        store: SnapshotReader,
        table: PostgresTable,
        report: Report,
    ) -> None:
        self._epoch = epoch
        self._reader = reader
        self._store = store
        self._table = table
        self._report = report
        self._places = [TopicPartition(routes.ledger, number) for number in range(routes.partitions)]
        self._folds = LedgerFolds(epoch, with_notes=True)
        self.positions: dict[int, int] = {}
        """How far the tables are."""
        self.begins: dict[int, int] = {}
        """Where the fold of each partition begins; 0 unless the ledger was trimmed."""

    @property
    def is_whole(self) -> bool:
        """Whether all of the ledger was there to be folded."""
        return not any(self.begins.values())

    async def ends(self) -> dict[int, int]:
        """Give the ledger's end as of now."""
        return {tp.partition: end for tp, end in (await self._reader.end_offsets(self._places)).items()}

    async def open(self, within: Mapping[int, int] | None = None) -> bool:
        """Find out how far the tables are, and restore the fold up to there.

        True, having done nothing more, when they are beyond ``within``, or end before what is left of a
        trimmed ledger begins: start over with empty ones.

        Raises
        ------
        NoBeginningError
            Nothing can be folded.
        """
        self._folds = LedgerFolds(self._epoch, with_notes=True)
        self.positions = await self._table.positions(tp.partition for tp in self._places)
        if within is not None and any(at > within.get(number, 0) for number, at in self.positions.items()):
            return True
        for number, at in self.positions.items():
            start = await self._store.log_start(number)
            if at < start and at:
                return True
            if start and not at:
                await self._begin(number, start)
            else:
                await self._store.restore(self._folds, {number: at})
            self.begins[number] = self._folds.next_offset(number) if start else 0
        return False

    async def _begin(self, number: int, start: int) -> None:
        """Begin at the oldest snapshot of a ledger that was trimmed."""
        fold = await self._store.load_first(number, start)
        if fold is None:
            raise NoBeginningError(
                f"ledger partition {number} begins at offset {start}, and no snapshot says what stood before"
            )
        self._folds.adopt(number, fold)

    async def fold_to(self, targets: Mapping[int, int]) -> None:
        """Fold each partition up to its target; those that are as far or further stay."""
        ahead = {number: at for number, at in targets.items() if self.positions[number] < at}
        places = [tp for tp in self._places if tp.partition in ahead]
        await self._reader.assign({tp: self._folds.next_offset(tp.partition) for tp in places})
        total = sum(at - self._folds.next_offset(number) for number, at in ahead.items())
        done = 0
        while any(self._folds.next_offset(number) < at for number, at in ahead.items()):
            records = await self._reader.poll(POLL_S, BATCH_MAX)
            wanted = [record for record in records if record.offset < ahead[record.partition]]
            if wanted:
                events = self._folds.take(wanted)
                ends = {record.partition: self._folds.next_offset(record.partition) for record in wanted}
                moves = {
                    n: Move(self.positions[n], end) for n, end in ends.items() if end > self.positions[n]
                }
                await self._table.write(rows_from(events, self.positions), moves)
                self.positions |= {number: move.new for number, move in moves.items()}
                done += len(wanted)
                self._report(done, total)
        # A snapshot may reach to the target itself, with nothing left to read.
        short = {n: Move(self.positions[n], at) for n, at in ahead.items() if self.positions[n] < at}
        if short:
            await self._table.write(rows_from([], self.positions), short)
            self.positions |= {number: move.new for number, move in short.items()}
        await self._reader.assign({})
