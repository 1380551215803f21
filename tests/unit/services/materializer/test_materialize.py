import asyncio
from collections.abc import Iterable, Mapping

import pytest

from adapters.telemetry.prometheus import PrometheusMeter
from core.rows import merge
from core.rows_table import Table, empty_table
from ports.state_table import Move, OffsetsMovedError, TableUnavailableError
from schemas.ledger import LedgerFolds
from services.materializer.decide import TableBehindError
from services.materializer.materialize import Materialize, StoppedError
from tests.support.ledger_stories import EPOCH, accepted, claimed, job_id_of, queued, succeeded, written

COURSE = written([accepted(), queued(), claimed(), succeeded()])
PARTITION = COURSE[0].partition


class FakeTable:
    """Rows in memory; ``failures`` are raised one by one, before or after the write took effect."""

    def __init__(self) -> None:
        self.rows = empty_table()
        self.offsets: dict[int, int] = {}
        self.before: list[Exception] = []
        self.after: list[Exception] = []
        self.writes = 0
        self.behind: dict[int, int] = {}
        """From where an older version wrote."""

    async def left_behind(self, partitions: Iterable[int]) -> dict[int, int]:
        if self.before:
            raise self.before.pop(0)
        return {number: self.behind[number] for number in partitions if number in self.behind}

    async def go_back(self, offsets: Mapping[int, int]) -> None:
        self.offsets |= offsets
        self.behind.clear()

    async def positions(self, partitions: Iterable[int]) -> dict[int, int]:
        if self.before:
            raise self.before.pop(0)
        return {number: self.offsets.get(number, 0) for number in partitions}

    async def write(self, rows: Table, moves: Mapping[int, Move]) -> None:
        if self.before:
            raise self.before.pop(0)
        if any(self.offsets.get(number, 0) != move.old for number, move in moves.items()):
            raise OffsetsMovedError
        self.writes += 1
        for job_id, row in rows.jobs.items():
            merge(self.rows.jobs.setdefault(job_id, {}), row)
        self.offsets |= {number: move.new for number, move in moves.items()}
        if self.after:
            raise self.after.pop(0)


async def whole(_: int) -> int | None:
    """Let a fold begin at the beginning."""
    return 0


class FakeHealth:
    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.beats = 0

    def beat(self) -> None:
        self.beats += 1

    def set_unready(self, reason: str) -> None:
        self.reasons.append(reason)


class Bench:
    def __init__(self) -> None:
        self.table, self.health, self.stopping = FakeTable(), FakeHealth(), asyncio.Event()

    def step(self) -> Materialize:
        return Materialize(
            topic="jobs.events",
            folds=LedgerFolds(EPOCH, with_notes=True),
            table=self.table,
            meter=PrometheusMeter(),
            health=self.health,
            now_ms=lambda: COURSE[-1].timestamp_ms,
            stopping=self.stopping,
        )

    @property
    def state(self) -> object:
        return self.table.rows.jobs[job_id_of(0)]["state"]


async def test_batches_reach_the_table_with_its_position() -> None:
    bench = Bench()
    step = bench.step()
    await step.work(COURSE[:2])
    assert (bench.state, bench.table.offsets) == ("queued", {PARTITION: 2})
    await step.work(COURSE[2:])
    assert (bench.state, bench.table.offsets) == ("succeeded", {PARTITION: 4})


async def test_a_restart_folds_from_the_start_and_writes_only_what_is_missing() -> None:
    bench = Bench()
    await bench.step().work(COURSE[:3])
    bench.table.rows.jobs[job_id_of(0)]["type"] = "must not be written again"
    again = bench.step()
    await again.find_positions([PARTITION], whole)
    assert not again.is_restored([PARTITION])
    await again.work(COURSE)
    assert again.is_restored([PARTITION])
    assert bench.table.rows.jobs[job_id_of(0)]["type"] == "must not be written again"
    assert (bench.state, bench.table.writes) == ("succeeded", 2)


@pytest.mark.parametrize(("begin", "again_from"), [(0, 2), (3, 3), (None, 4)])
async def test_what_an_older_version_wrote_is_written_again_as_far_as_it_can_be_folded(
    begin: int | None, again_from: int
) -> None:
    bench = Bench()
    await bench.step().work(COURSE)
    bench.table.behind[PARTITION] = 2
    bench.table.before = [TableUnavailableError("connection refused")]

    async def earliest(_: int) -> int | None:
        return begin

    again = bench.step()
    await again.find_positions([PARTITION], earliest)
    assert again.positions_of([PARTITION]) == {PARTITION: again_from}
    await again.work(COURSE)
    assert bench.table.offsets == {PARTITION: 4}
    assert bench.state == "succeeded"


async def test_an_absent_database_is_waited_for_with_the_batch_and_said_in_health() -> None:
    bench = Bench()
    bench.table.before = [TableUnavailableError("connection refused")] * 2
    await bench.step().work(COURSE)
    assert bench.state == "succeeded"
    assert len(bench.health.reasons) == bench.health.beats == 2
    assert "connection refused" in bench.health.reasons[0]
    assert "4 records wait" in bench.health.reasons[0]


async def test_a_commit_whose_answer_was_lost_is_not_written_twice() -> None:
    bench = Bench()
    bench.table.after = [TableUnavailableError("gone")]
    await bench.step().work(COURSE)
    assert (bench.state, bench.table.writes, bench.table.offsets) == ("succeeded", 1, {PARTITION: 4})


async def test_what_another_member_wrote_meanwhile_is_left_out() -> None:
    bench = Bench()
    slow, other = bench.step(), bench.step()
    await slow.work(COURSE[:1])
    await other.work(COURSE[:3])
    await slow.work(COURSE[1:])
    assert (bench.state, bench.table.offsets) == ("succeeded", {PARTITION: 4})


async def test_a_table_set_back_stops_the_service_instead_of_leaving_a_gap() -> None:
    bench = Bench()
    step = bench.step()
    await step.work(COURSE[:2])
    bench.table.offsets = {}
    with pytest.raises(TableBehindError):
        await step.work(COURSE[2:])


async def test_a_stop_ends_the_wait_for_the_database() -> None:
    bench = Bench()
    bench.table.before = [TableUnavailableError("connection refused")] * 100
    bench.stopping.set()
    with pytest.raises(StoppedError):
        await bench.step().work(COURSE)
    assert bench.table.offsets == {}
