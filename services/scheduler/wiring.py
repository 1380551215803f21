"""The scheduler's parts and what connects them."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import cast

from adapters.kafka.reader import KafkaReader
from adapters.runtime.service import Service
from adapters.runtime.spilling_keys import KeyMemory
from core.gates.workflow_records import Tick
from core.log import TopicPartition
from core.snapshot_rule import SnapshotRule
from ports.control import ControlWatch
from ports.demand import DemandWatch
from ports.fetch import RecordFetcher
from ports.gate_snapshots import GateSnapshots
from ports.held_marks import HeldMarkLog
from ports.log import GroupMember
from ports.passages import PassageLog
from schemas.gate_logs import GateLogs
from services.scheduler.admit import Admitter
from services.scheduler.decide import due_ms_of
from services.scheduler.fire import Firer
from services.scheduler.hand_on import HandOn
from services.scheduler.hold import Heads
from services.scheduler.keep_gates import Gatekeeper
from services.scheduler.known import KnownKeys
from services.scheduler.last_stretch import LastStretch
from services.scheduler.measure import Measures
from services.scheduler.reread import Rereads
from services.scheduler.schedule import Positions, Scheduler
from services.scheduler.settings import SchedulerSettings
from services.scheduler.snapshot import GateSnapshotter
from services.scheduler.tell import Teller, TellRule, begin_at_passages
from services.scheduler.tick import Ticker
from services.scheduler.waiting import WaitingJobs


async def run(service: Service) -> None:
    """Let jobs pass the gates and the wheel until the service is told to stop."""
    settings = cast("SchedulerSettings", service.settings)
    routes, now_ms = service.routes, service.clock.now_ms
    tier_of = {topic: tier for tier, topic in enumerate(routes.delays)}
    window_ms = int(settings.key_window_s * 1000)
    memory = KeyMemory(settings.known_keys_max_bytes, settings.spill_dir or None)
    admitter = Admitter(routes, service.meter, now_ms, service.epoch.epoch, window_ms, memory.store)
    logs = GateLogs(routes, service.epoch.epoch)
    positions = Positions(routes, admitter, logs)
    async with AsyncExitStack() as stack:
        shelf, jobs = [await _reader(service, stack) for _ in range(2)]
        passages = PassageLog(routes, service.epoch.epoch, await _reader(service, stack))
        snapshots = GateSnapshots(routes, service.epoch.epoch, logs, shelf, service.instance)

        async def restore(committed: Mapping[TopicPartition, int]) -> None:
            await begin_at_passages(passages, admitter.gate, routes.gates, committed)
            await snapshots.restore(committed)

        member = await service.join(
            [routes.gates, *routes.delays, *logs.topics], start_at=positions.start_at, restore=restore
        )
        stack.push_async_callback(member.close)
        rule = TellRule(settings.gates_told_every, settings.gates_told_every_s)
        teller = Teller(passages, service.appender, member, admitter.gate, routes.gates, rule, time.monotonic)
        keys = KnownKeys(
            admitter, lambda: member.assignment.partitions, service.meter, lambda: memory.spilled
        )
        snapshotter = GateSnapshotter(
            snapshots, logs, member, service.appender, _snapshot_rule(settings), time.monotonic
        )
        ticker = Ticker(routes, logs, member, service.appender, now_ms, _tick(settings))
        waiting = WaitingJobs(RecordFetcher(jobs), settings.gates_cache_max_bytes)
        scheduler = Scheduler(
            routes=routes,
            member=member,
            appender=service.appender,
            now_ms=now_ms,
            admitter=admitter,
            gatekeeper=Gatekeeper(routes, service.meter, now_ms, logs, waiting, settings.order_on_dead),
            logs=logs,
            positions=positions,
            heads=Heads(tier_of),
            stretch=LastStretch(due_ms_of),
            measures=Measures(service.meter, now_ms, tier_of),
        )
        firer = await _firer(service, member, stack)

        def turn() -> None:
            service.health.beat()
            if scheduler.is_restored:
                service.health.set_ready()
            else:
                service.health.set_unready("reading the gates")

        async with asyncio.TaskGroup() as tasks:
            held = await _held_jobs(service, stack, member, rule)
            for beside in (teller.run, keys.run, snapshotter.run, ticker.run, firer.run, *held):
                tasks.create_task(beside(service.stopping))
            tasks.create_task(scheduler.run(service.stopping, turn))


async def _held_jobs(
    service: Service, stack: AsyncExitStack, member: GroupMember, rule: TellRule
) -> list[Callable[[asyncio.Event], Coroutine[None, None, None]]]:
    """Make what hands on held jobs of the partitions of ``member``; what is ordered is read already."""
    routes = service.routes
    orders, wanted, again, tail, marks = [await _reader(service, stack) for _ in range(5)]
    control, demand = ControlWatch(orders, routes), DemandWatch(wanted, routes)
    await control.start()
    progress = service.progress(again, group="prioritizer")
    stack.push_async_callback(progress.close)
    hand_on = HandOn(
        routes,
        service.appender,
        member,
        tail,
        Rereads(again, routes.held),
        HeldMarkLog(routes, service.epoch.epoch, marks),
        control.orders,
        demand,
        progress,
        service.meter,
        service.clock.now_ms,
        rule,
    )
    return [control.run, demand.run, hand_on.run]


async def _reader(service: Service, stack: AsyncExitStack) -> KafkaReader:
    reader = await service.reader()
    stack.push_async_callback(reader.close)
    return reader


def _tick(settings: SchedulerSettings) -> Tick:
    return Tick(int(settings.workflow_unknown_wait_s * 1000), int(settings.workflow_keep_s * 1000))


def _snapshot_rule(settings: SchedulerSettings) -> SnapshotRule:
    return SnapshotRule(
        settings.gates_snapshot_every, settings.gates_snapshot_every_s, settings.gates_snapshot_not_before_s
    )


async def _firer(service: Service, member: GroupMember, stack: AsyncExitStack) -> Firer:
    return Firer(
        routes=service.routes,
        reader=await _reader(service, stack),
        ends=await _reader(service, stack),
        appender=service.appender,
        member=member,
        meter=service.meter,
        now_ms=service.clock.now_ms,
    )
