"""Following a topic that is not the ledger, here that of schedules, on a log in memory."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import cast

from core.log import Record
from core.schedules import CatchUp
from ports.log import Assignment, GroupMember
from ports.schedule_table import ScheduleRows
from ports.state_table import Move, OffsetsMovedError, TableUnavailableError
from schemas.schedules import Defined, Fired, fired_record, partition_of
from services.materializer.follow import Follower
from services.materializer.schedule_rows import schedule_rows
from tests.support.schedule_world import ROUTES, START_MS, Log, Operator, StepReader

PLACE = partition_of("a")


class Table:
    """Rows and positions, with the faults a test asks for."""

    def __init__(self) -> None:
        self.faults: list[Exception] = []
        self.at: dict[int, int] = {}
        self.written: list[ScheduleRows] = []
        self.looked = 0
        self.wrote = asyncio.Event()

    async def positions(self, partitions: Iterable[int]) -> dict[int, int]:
        self.looked += 1
        return {number: self.at.get(number, 0) for number in partitions}

    async def write_schedules(self, rows: ScheduleRows, moves: Mapping[int, Move]) -> None:
        if self.faults:
            raise self.faults.pop()
        assert all(self.at.get(number, 0) == move.old for number, move in moves.items())
        self.at |= {number: move.new for number, move in moves.items()}
        self.written.append(rows)
        self.wrote.set()


class Member:
    """Owns what a test says."""

    def __init__(self, *partitions: int) -> None:
        self.assignment = Assignment(1, frozenset(partitions))


def follower(log: Log, table: Table, member: Member) -> Follower:
    async def write(records: list[Record], moves: Mapping[int, Move]) -> None:
        await table.write_schedules(schedule_rows(records), moves)

    return Follower(
        what="schedules",
        places=ROUTES.schedule_places,
        reader=StepReader(log),
        member=cast("GroupMember", member),
        table=table,
        write=write,
    )


def with_schedule() -> Log:
    log = Log()
    operator = Operator(log)
    operator.create(Defined("a", "i", 1, operator.plan(every_ms=1000), CatchUp.ALL))
    return log


async def test_it_writes_what_is_new_and_reads_on_where_the_table_is() -> None:
    log, table = with_schedule(), Table()
    first = follower(log, table, Member(0, 1))
    await first.turn()
    log.append(fired_record(ROUTES, Fired("a", "i", START_MS + 1000, START_MS + 1000, 1)))
    await first.turn()
    await follower(log, table, Member(0, 1)).turn()
    assert [(len(rows.defined), len(rows.fired)) for rows in table.written] == [(1, 0), (0, 1)]
    assert table.at[PLACE] == 2


async def test_it_follows_only_what_its_partitions_of_the_ledger_stand_for() -> None:
    log, table = with_schedule(), Table()
    other = Member(1 - PLACE % ROUTES.partitions)
    one = follower(log, table, other)
    await one.turn()
    assert table.written == []
    other.assignment = Assignment(2, frozenset({0, 1}))
    await one.turn()
    assert len(table.written) == 1


async def test_a_table_that_moved_or_is_away_loses_nothing() -> None:
    log, table, stopping = with_schedule(), Table(), asyncio.Event()
    table.faults = [TableUnavailableError("away"), OffsetsMovedError("moved")]
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(follower(log, table, Member(0, 1)).run(stopping))
        await table.wrote.wait()
        stopping.set()
    assert table.looked == 3
    assert [row.name for row in table.written[0].defined] == ["a"]


async def test_what_rows_rest_on_is_read_from_the_start_and_only_what_is_new_is_written() -> None:
    log, table = with_schedule(), Table()
    folded: list[int] = []
    written: list[tuple[list[int], dict[int, Move]]] = []

    async def write(records: list[Record], moves: Mapping[int, Move]) -> None:
        written.append(([record.offset for record in records], dict(moves)))
        await table.write_schedules(schedule_rows(records), moves)

    def begun() -> Follower:
        made = follower(log, table, Member(0, 1))
        made._fold = lambda records: folded.extend(record.offset for record in records)
        made._write = write
        return made

    await begun().turn()
    again = begun()
    await again.turn()
    log.append(fired_record(ROUTES, Fired("a", "i", START_MS + 1000, START_MS + 1000, 1)))
    await again.turn()
    assert folded == [0, 0, 1]
    assert written == [([0], {PLACE: Move(0, 1)}), ([1], {PLACE: Move(1, 2)})]
