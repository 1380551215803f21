"""The materializer's parts and what connects them."""

import asyncio
import contextlib
import logging
from collections.abc import Collection, Mapping
from typing import cast

from adapters.postgres.cancelled import PostgresCancelled
from adapters.postgres.desk_sink import PostgresDesk
from adapters.postgres.model_sink import PostgresModels
from adapters.postgres.refold import STAGE
from adapters.postgres.schedule_sink import PostgresSchedules
from adapters.postgres.signature_sink import PostgresSignatures
from adapters.postgres.sink import PostgresTable
from adapters.runtime.service import Service
from core.log import Record, TopicPartition
from ports.log import GroupMember
from ports.snapshots import SnapshotStore
from ports.stage import run_stage
from ports.state_table import Move
from schemas.desk import place_of_desk
from schemas.ledger import LedgerFolds
from schemas.models import place_of_models
from schemas.signatures import SignatureFold, place_of_signatures
from services.materializer.desk_rows import desk_rows
from services.materializer.follow import Fold, Follower, Places, Write
from services.materializer.materialize import Materialize, StoppedError
from services.materializer.model_rows import model_rows
from services.materializer.name_cancels import CancelNamer
from services.materializer.schedule_rows import schedule_rows
from services.materializer.settings import MaterializerSettings
from services.materializer.signature_rows import signature_rows

logger = logging.getLogger(__name__)


async def run(service: Service) -> None:
    """Keep the tables up with the ledger until the service is told to stop.

    Offsets committed to Kafka only show lag: the position that counts is in the table, and the
    fold is made anew from the newest snapshot that is not ahead of the table.
    """
    settings = cast("MaterializerSettings", service.settings)
    epoch, ledger, stopping = service.epoch.epoch, service.routes.ledger, service.stopping
    folds = LedgerFolds(epoch, with_notes=True)
    table = PostgresTable(
        settings.database.conninfo,
        stage=STAGE,
        epoch=epoch,
        meter=service.meter,
        before=service.epoch.before,
    )
    step = Materialize(
        topic=ledger,
        folds=folds,
        table=table,
        meter=service.meter,
        health=service.health,
        now_ms=service.clock.now_ms,
        stopping=stopping,
    )

    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(table.close)
        snapshots = await service.reader()
        stack.push_async_callback(snapshots.close)
        store = SnapshotStore(service.routes, epoch, service.appender, snapshots, service.instance)

        async def restore(owned: Mapping[TopicPartition, int]) -> None:
            """Begin at snapshots; never beyond the table, which needs every event from there on."""
            await store.restore(folds, step.positions_of(tp.partition for tp in owned))

        with contextlib.suppress(StoppedError):
            await step.find_positions(range(service.routes.partitions), store.earliest)
            member = await service.join(
                [ledger], start_at=lambda tp, _: folds.next_offset(tp.partition), restore=restore
            )
            stack.push_async_callback(member.close)

            followers = await _followers(service, member, stack)
            namer = await _namer(service, member, folds, step, stack)

            async def work(records: list[Record]) -> None:
                namer.note(await step.work(records))

            def turn() -> None:
                _say_health(service, member, step)

            async with asyncio.TaskGroup() as tasks:
                for follower in followers:
                    tasks.create_task(follower.run(stopping))
                tasks.create_task(namer.run(stopping))
                # Here, too: what leaves the task group comes in a group of its own.
                with contextlib.suppress(StoppedError):
                    most = settings.materializer_batch_max
                    await run_stage(member, work, stopping=stopping, turn=turn, max_records=most)


def _say_health(service: Service, member: GroupMember, step: Materialize) -> None:
    service.health.beat()
    if not member.assignment.number:
        service.health.set_unready("waiting for partitions of the ledger")
    elif not step.is_restored(member.assignment.partitions):
        service.health.set_unready("folding the ledger")
    else:
        service.health.set_ready()


async def _namer(
    service: Service,
    member: GroupMember,
    folds: LedgerFolds,
    step: Materialize,
    stack: contextlib.AsyncExitStack,
) -> CancelNamer:
    settings = cast("MaterializerSettings", service.settings)
    rows = PostgresCancelled(settings.database.conninfo, epoch=service.epoch.epoch, meter=service.meter)
    stack.push_async_callback(rows.close)
    reader = await service.reader()
    stack.push_async_callback(reader.close)
    return CancelNamer(
        routes=service.routes,
        folds=folds,
        step=step,
        member=member,
        reader=reader,
        rows=rows,
        appender=service.appender,
    )


async def _followers(
    service: Service, member: GroupMember, stack: contextlib.AsyncExitStack
) -> list[Follower]:
    return [await follow(service, member, stack) for follow in _FOLLOWED]


async def _follow_schedules(
    service: Service, member: GroupMember, stack: contextlib.AsyncExitStack
) -> Follower:
    settings = cast("MaterializerSettings", service.settings)
    epoch, before = service.epoch.epoch, service.epoch.before
    table = PostgresSchedules(settings.database.conninfo, epoch=epoch, meter=service.meter, before=before)

    async def write(records: list[Record], moves: Mapping[int, Move]) -> None:
        await table.write_schedules(schedule_rows(records), moves)

    return await _follower(service, member, stack, "schedules", service.routes.schedule_places, table, write)


async def _follow_desk(service: Service, member: GroupMember, stack: contextlib.AsyncExitStack) -> Follower:
    settings = cast("MaterializerSettings", service.settings)
    epoch, before = service.epoch.epoch, service.epoch.before
    table = PostgresDesk(settings.database.conninfo, epoch=epoch, meter=service.meter, before=before)

    async def write(records: list[Record], moves: Mapping[int, Move]) -> None:
        await table.write_desk(desk_rows(records), moves)

    return await _follower(
        service, member, stack, "the desk", _only(place_of_desk(service.routes)), table, write
    )


async def _follow_models(service: Service, member: GroupMember, stack: contextlib.AsyncExitStack) -> Follower:
    settings = cast("MaterializerSettings", service.settings)
    epoch, before = service.epoch.epoch, service.epoch.before
    table = PostgresModels(settings.database.conninfo, epoch=epoch, meter=service.meter, before=before)

    async def write(records: list[Record], moves: Mapping[int, Move]) -> None:
        await table.write_models(model_rows(records), moves)

    places = _only(place_of_models(service.routes))
    return await _follower(service, member, stack, "models", places, table, write)


def _only(place: TopicPartition) -> Places:
    """Give the rule of a topic with one partition."""

    def places(owned: Collection[int]) -> list[TopicPartition]:
        return [place] if place.partition in owned else []

    return places


async def _follow_signatures(
    service: Service, member: GroupMember, stack: contextlib.AsyncExitStack
) -> Follower:
    settings = cast("MaterializerSettings", service.settings)
    epoch, before = service.epoch.epoch, service.epoch.before
    table = PostgresSignatures(settings.database.conninfo, epoch=epoch, meter=service.meter, before=before)
    place, learned = place_of_signatures(service.routes), SignatureFold()

    def fold(records: list[Record]) -> None:
        for record in records:
            learned.take(record)

    async def write(records: list[Record], moves: Mapping[int, Move]) -> None:
        del records
        await table.write_signatures(signature_rows(learned.book, moves[place.partition].old), moves)

    return await _follower(service, member, stack, "signatures", _only(place), table, write, fold)


_FOLLOWED = (_follow_schedules, _follow_models, _follow_desk, _follow_signatures)


async def _follower(
    service: Service,
    member: GroupMember,
    stack: contextlib.AsyncExitStack,
    what: str,
    places: Places,
    table: PostgresTable,
    write: Write,
    fold: Fold | None = None,
) -> Follower:
    stack.push_async_callback(table.close)
    reader = await service.reader()
    stack.push_async_callback(reader.close)
    return Follower(
        what=what, places=places, reader=reader, member=member, table=table, write=write, fold=fold
    )
