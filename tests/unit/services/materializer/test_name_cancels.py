"""A cancel by id alone is repeated by its origin, once, and never against a redrive."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import cast

import pytest

from adapters.telemetry.prometheus import PrometheusMeter
from core.ledger.fold import CANCEL_KEEP_MS
from core.ledger.verdicts import Cancel, Redriven
from core.log import Appended, NewRecord, Record, TopicPartition
from ports.log import Assignment, GroupMember, PartitionReader
from ports.state_table import CancelledRow, TableUnavailableError
from schemas.codec import decode_if_verdict
from schemas.ledger import LedgerFolds
from schemas.topics import RouteMap
from services.materializer.materialize import Health, Materialize
from services.materializer.name_cancels import CancelNamer
from tests.support.ledger_stories import (
    EPOCH,
    Event,
    accepted,
    cancel,
    claimed,
    job_id_of,
    origin_of,
    succeeded,
    written,
)
from tests.unit.services.materializer.test_materialize import FakeHealth, FakeTable

OWNED = frozenset({0, 1})


class World:
    """A ledger, a table that shows who asked, and the namer on both."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.rows: dict[str, CancelledRow] = {}
        self.looked: list[list[str]] = []
        self.away = 0
        self.read = 0
        self.member = type("Member", (), {"assignment": Assignment(1, OWNED)})()
        self.begin()

    def begin(self) -> None:
        """Start a materializer that folds from the log's start."""
        self.folds = LedgerFolds(EPOCH, with_notes=True)
        self.table = FakeTable()
        self.step = Materialize(
            topic="jobs.events",
            folds=self.folds,
            table=self.table,
            meter=PrometheusMeter(),
            health=cast("Health", FakeHealth()),
            now_ms=lambda: 0,
            stopping=asyncio.Event(),
        )
        self.read = 0
        self.namer = CancelNamer(
            routes=RouteMap(partitions=2),
            folds=self.folds,
            step=self.step,
            member=cast("GroupMember", self.member),
            reader=cast("PartitionReader", self),
            rows=self,
            appender=self,
        )

    def records(self) -> list[Record]:
        return written(self.events)

    async def work(self, upto: int | None = None) -> None:
        """Put what stands in the log into the table, up to so many records of it."""
        for record in self.records()[self.read : upto]:
            self.namer.note(await self.step.work([record]))
        self.read = len(self.events) if upto is None else upto

    async def turns(self) -> None:
        for _ in range(3):
            await self.namer.turn()

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        ends = dict.fromkeys(partitions, 0)
        for record in self.records():
            place = TopicPartition(record.topic, record.partition)
            if place in ends:
                ends[place] = record.offset + 1
        return ends

    async def append(self, records: Sequence[NewRecord]) -> list[Appended]:
        for new in records:
            verdict = decode_if_verdict(Record(new.topic, 0, 0, 0, new.key, new.value, new.headers))
            assert isinstance(verdict, Cancel)
            self.events.append(verdict)
        return []

    async def cancelled(self, job_ids: Sequence[str]) -> list[CancelledRow]:
        if self.away:
            self.away -= 1
            raise TableUnavailableError("gone")
        self.looked.append(list(job_ids))
        return [self.rows[job_id] for job_id in job_ids if job_id in self.rows]

    def shows(self, job: int) -> None:
        self.rows[job_id_of(job)] = CancelledRow(job_id_of(job), origin_of(job), "ann", "mistake")

    @property
    def named(self) -> list[Cancel]:
        return [event for event in self.events if isinstance(event, Cancel) and event.origin]


@pytest.mark.parametrize("events", [[accepted(), cancel()], [cancel(), accepted()]])
async def test_whichever_comes_first_the_cancel_is_repeated_once_by_origin(events: list[Event]) -> None:
    world = World()
    world.shows(0)
    world.events = list(events)
    await world.work()
    await world.turns()
    assert world.named == [Cancel(origin_of(0), job_id_of(0), "ann", "mistake")]
    await world.work()
    await world.turns()
    assert len(world.named) == 1
    partition = world.records()[0].partition
    assert world.folds.fold(partition).is_done(origin_of(0))


async def test_a_cancel_of_no_job_is_looked_up_again_when_the_job_comes() -> None:
    world = World()
    world.events = [cancel()]
    await world.work()
    await world.turns()
    assert (world.named, world.looked) == ([], [[job_id_of(0)]])
    world.shows(0)
    world.events.append(accepted())
    await world.work()
    await world.turns()
    assert len(world.named) == 1


async def test_while_the_table_is_away_the_cancel_stays_noted() -> None:
    world = World()
    world.shows(0)
    world.events, world.away = [accepted(), cancel()], 1
    await world.work()
    with pytest.raises(TableUnavailableError):
        await world.namer.turn()
    await world.turns()
    assert len(world.named) == 1


async def test_nothing_is_said_before_the_table_has_what_stood_in_the_log() -> None:
    world = World()
    world.shows(0)
    world.events = [accepted(), cancel(), accepted(2), accepted(4)]
    await world.work(upto=2)
    await world.turns()
    assert (world.named, world.looked) == ([], [])
    await world.work()
    await world.turns()
    assert len(world.named) == 1


async def test_a_successor_takes_up_what_its_predecessor_died_over() -> None:
    world = World()
    world.shows(0)
    world.events = [accepted(), cancel()]
    await world.work()
    world.begin()
    await world.step.work(world.records())
    await world.turns()
    assert len(world.named) == 1


async def test_a_table_filled_anew_repeats_no_cancel_that_a_redrive_took_back() -> None:
    world = World()
    world.shows(0)
    world.events = [accepted(), cancel()]
    await world.work()
    await world.turns()
    world.events.append(Redriven(origin_of(0), job_id_of(0), 2, "jobs.dead", 0, 1, "bob"))
    world.begin()
    await world.work()
    await world.turns()
    assert len(world.named) == 1
    partition = world.records()[0].partition
    assert world.folds.fold(partition).may_claim(origin_of(0), job_id_of(0), 2)


async def test_of_a_job_that_has_ended_and_of_one_that_is_open_nothing_is_repeated() -> None:
    world = World()
    world.shows(0)
    world.events = [accepted(), claimed(), succeeded(), cancel()]
    await world.work()
    await world.turns()
    assert world.named == []
    running = World()
    running.shows(0)
    running.events = [accepted(), claimed(), cancel()]
    await running.work()
    await running.turns()
    assert (running.named, running.looked) == ([], [])


async def test_what_is_forgotten_is_not_repeated() -> None:
    world = World()
    world.shows(0)
    world.events = [accepted(), cancel()]
    await world.work()
    fold = world.folds.fold(world.records()[0].partition)
    fold.pass_by(world.records()[-1].timestamp_ms + CANCEL_KEEP_MS)
    await world.turns()
    assert world.named == []
