"""The dlq_handler's parts and what connects them."""

import asyncio
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import cast

from adapters.runtime.service import Service
from core.keeper import Keeper, OpenClaims
from core.log import TopicPartition
from ports.snapshots import SnapshotStore
from ports.stage import run_stage
from schemas.ledger import LedgerFolds
from services.dlq_handler.fetch import Attempts, RecordFetcher
from services.dlq_handler.handle import Handler
from services.dlq_handler.keep import KeepWatch
from services.dlq_handler.settings import DlqHandlerSettings
from services.dlq_handler.snapshot import SnapshotRule, Snapshotter, begin_at_snapshots


async def run(service: Service) -> None:
    """Handle closures and decisions and keep watch over executors until told to stop."""
    settings = cast("DlqHandlerSettings", service.settings)
    routes, now_ms = service.routes, service.clock.now_ms
    folds, claims = LedgerFolds(service.epoch.epoch, with_notes=False), OpenClaims()

    def start_at(partition: TopicPartition, committed: int) -> int:
        return folds.next_offset(partition.partition) if partition.topic == routes.ledger else committed

    async with AsyncExitStack() as stack:
        heartbeats = await service.reader()
        stack.push_async_callback(heartbeats.close)
        records = await service.reader()
        stack.push_async_callback(records.close)
        snapshots = await service.reader()
        stack.push_async_callback(snapshots.close)
        store = SnapshotStore(routes, service.epoch.epoch, service.appender, snapshots, service.instance)

        restore = partial(begin_at_snapshots, store, folds, claims, routes.ledger)
        member = await service.join([routes.ledger, routes.dlq], start_at=start_at, restore=restore)
        stack.push_async_callback(member.close)
        fetcher = RecordFetcher(records)
        attempts = Attempts(fetcher, routes, settings.attempt_cache_max_bytes)
        handler = Handler(routes, service.appender, member, service.meter, now_ms, folds, claims, attempts)
        watch = KeepWatch(
            routes,
            service.appender,
            heartbeats,
            member,
            now_ms,
            folds,
            claims,
            fetcher,
            handler.folded,
            keeper=Keeper(int(settings.lease_s * 1000)),
            name=service.instance,
            turn_s=settings.heartbeat_s / 2,
        )
        snapshotter = Snapshotter(
            store,
            member,
            folds,
            routes.ledger,
            SnapshotRule(settings.snapshot_every, settings.snapshot_every_s, settings.snapshot_not_before_s),
            time.monotonic,
        )
        await watch.start()

        def turn() -> None:
            service.health.beat()
            if handler.restored:
                service.health.set_ready()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watch.run(service.stopping))
            tasks.create_task(snapshotter.run(service.stopping))
            tasks.create_task(run_stage(member, handler.work, stopping=service.stopping, turn=turn))
