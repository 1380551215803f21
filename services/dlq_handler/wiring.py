"""The dlq_handler's parts and what connects them."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, cast

from adapters.runtime.service import Service
from core.keeper import Keeper, OpenClaims
from core.learning.preemption import Mode
from core.log import TopicPartition
from core.retention import TrimRule
from core.retrying.explore import Chooser
from core.snapshot_rule import SnapshotRule
from ports.control import ControlWatch
from ports.demand import DemandWatch
from ports.feature_view import FeatureView
from ports.fetch import RecordFetcher
from ports.gate_snapshots import GateSnapshots
from ports.held_counts import HeldCounts
from ports.held_marks import HeldMarkLog
from ports.log import GroupMember, PartitionReader
from ports.outcomes import OutcomeReporter
from ports.passages import PassageLog
from ports.snapshots import SnapshotStore
from ports.stage import run_stage
from schemas.gate_logs import GateLogs
from schemas.ledger import LedgerFolds
from services.dlq_handler.circuits import CircuitKeeper
from services.dlq_handler.end_holds import HoldWatch
from services.dlq_handler.fetch import Attempts
from services.dlq_handler.handle import Handler
from services.dlq_handler.keep import KeepWatch
from services.dlq_handler.recognize import Recognizer
from services.dlq_handler.settings import DlqHandlerSettings
from services.dlq_handler.snapshot import Snapshotter, begin_at_snapshots
from services.dlq_handler.trim import Told, Trimmer

if TYPE_CHECKING:
    from services.dlq_handler.learned import Learned


async def run(service: Service) -> None:
    """Handle closures and decisions and keep watch over executors until told to stop."""
    settings = cast("DlqHandlerSettings", service.settings)
    routes, now_ms, append, meter = service.routes, service.clock.now_ms, service.appender, service.meter
    epoch = service.epoch.epoch
    folds, claims = LedgerFolds(epoch, with_notes=False), OpenClaims()

    def start_at(partition: TopicPartition, committed: int) -> int:
        return folds.next_offset(partition.partition) if partition.topic == routes.ledger else committed

    async with AsyncExitStack() as stack:
        heartbeats, records, snapshots, known, gated, held = [await _reader(service, stack) for _ in range(6)]
        gates = GateSnapshots(routes, epoch, GateLogs(routes, epoch), gated, service.instance)
        passages = PassageLog(routes, epoch, known)
        retention = await service.retention()
        stack.push_async_callback(retention.close)
        store = _store(service, settings, snapshots)
        restore = partial(begin_at_snapshots, store, folds, claims, routes.ledger)
        member = await service.join([routes.ledger, routes.dlq], start_at=start_at, restore=restore)
        stack.push_async_callback(member.close)
        fetcher, marks = RecordFetcher(records), HeldMarkLog(routes, epoch, held)
        attempts = Attempts(fetcher, routes, settings.attempt_cache_max_bytes)
        ends = OutcomeReporter(routes, service.appender, service.meter, now_ms, source=service.instance)
        circuits = await _circuits(service, settings, member, marks, stack)
        kinds, learned = await _recognizer(service, stack), await _learned(service, settings, stack)
        handler = Handler(
            *(routes, append, member, meter, now_ms, folds, claims, attempts, ends, kinds),
            memory=None if learned is None else learned.memory,
            circuits=circuits.keeper,
        )
        keeper = Keeper(int(settings.lease_s * 1000))
        watch = KeepWatch(
            *(routes, append, heartbeats, member, now_ms, folds, claims, fetcher, handler.folded),
            keeper=keeper,
            name=service.instance,
            turn_s=settings.heartbeat_s / 2,
        )
        shelf = asyncio.Lock()
        rule, when = _trim_rule(settings), _snapshot_rule(settings)
        snapshotter = Snapshotter(store, member, folds, routes.ledger, when, time.monotonic, shelf)
        told = Told(passages, gates, marks)
        trimmer = Trimmer(routes, retention, member, folds, store, told, meter, now_ms, rule, shelf)
        features = await _features(service, settings, stack)
        hold_ms = int(settings.preempt_hold_s * 1000)
        holds = HoldWatch(routes, append, member, meter, now_ms, folds, attempts, features, hold_ms)
        await watch.start()

        def turn() -> None:
            service.health.beat()
            if handler.restored:
                service.health.set_ready()

        async with asyncio.TaskGroup() as tasks:
            follows = [beside.run for beside in (features, learned) if beside is not None]
            for beside in (watch.run, ends.run, snapshotter.run, *circuits.runs, *follows):
                tasks.create_task(beside(service.stopping))
            tasks.create_task(trimmer.run(service.stopping, settings.janitor_s))
            tasks.create_task(holds.run(service.stopping, settings.preempt_check_s))
            tasks.create_task(run_stage(member, handler.work, stopping=service.stopping, turn=turn))


class _Circuits:
    """What keeps the circuits, and what it follows."""

    def __init__(
        self,
        service: Service,
        settings: DlqHandlerSettings,
        member: GroupMember,
        marks: HeldMarkLog,
        readers: list[PartitionReader],
    ) -> None:
        told, ordered, wanted, held = readers
        routes = service.routes
        self._control, self._demand = ControlWatch(ordered, routes), DemandWatch(wanted, routes)
        self.keeper = CircuitKeeper(
            *(routes, service.appender, told, self._control, self._demand),
            HeldCounts(routes, marks, held),
            member,
            *(service.meter, service.clock.now_ms, settings.budget, settings.circuits),
        )

    async def start(self) -> None:
        """Read what is ordered already, and what was told last."""
        await self._control.start()
        await self.keeper.start()

    @property
    def runs(self) -> list[Callable[[asyncio.Event], Coroutine[None, None, None]]]:
        """What follows until the service stops."""
        return [self._control.run, self._demand.run, self.keeper.run]


async def _circuits(
    service: Service,
    settings: DlqHandlerSettings,
    member: GroupMember,
    marks: HeldMarkLog,
    stack: AsyncExitStack,
) -> _Circuits:
    readers = [await _reader(service, stack) for _ in range(4)]
    circuits = _Circuits(service, settings, member, marks, readers)
    await circuits.start()
    return circuits


async def _reader(service: Service, stack: AsyncExitStack) -> PartitionReader:
    reader = await service.reader()
    stack.push_async_callback(reader.close)
    return reader


async def _learned(service: Service, settings: DlqHandlerSettings, stack: AsyncExitStack) -> "Learned | None":
    """Give what learns of failures; imported only now, so that who goes by the rule loads no NumPy."""
    if settings.retry_policy is not Chooser.LEARNED:
        return None
    try_out = import_module("adapters.learned.canary").Canary(settings.model.key_bytes).try_out_recovery
    learned: Learned = import_module("services.dlq_handler.learned").Learned(
        await _reader(service, stack), service.routes, service.meter, try_out, settings.retry_explored
    )
    await learned.start()
    return learned


async def _recognizer(service: Service, stack: AsyncExitStack) -> Recognizer:
    recognizer = Recognizer(service.routes, service.appender, await _reader(service, stack))
    await recognizer.start()
    return recognizer


async def _features(
    service: Service, settings: DlqHandlerSettings, stack: AsyncExitStack
) -> FeatureView | None:
    """Follow what is known of types only where holds may end by it."""
    if settings.preempt is not Mode.ON:
        return None
    features = FeatureView(await _reader(service, stack), service.routes, service.meter)
    await features.start()
    return features


def _store(service: Service, settings: DlqHandlerSettings, reader: PartitionReader) -> SnapshotStore:
    return SnapshotStore(
        service.routes,
        service.epoch.epoch,
        service.appender,
        reader,
        service.instance,
        ledger_keep_ms=int(settings.ledger_keep_s * 1000),
    )


def _snapshot_rule(settings: DlqHandlerSettings) -> SnapshotRule:
    return SnapshotRule(settings.snapshot_every, settings.snapshot_every_s, settings.snapshot_not_before_s)


def _trim_rule(settings: DlqHandlerSettings) -> TrimRule:
    return TrimRule(
        ledger_keep_ms=int(settings.ledger_keep_s * 1000),
        ledger_max_bytes=settings.ledger_max_bytes,
        dlq_keep_ms=int(settings.dlq_keep_s * 1000),
        step_records=settings.janitor_step_records,
    )
