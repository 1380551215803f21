"""An executor's parts and what connects them."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Coroutine
from typing import NamedTuple, cast

from adapters.runtime.presence import package_version
from adapters.runtime.service import Service
from core.learning.law import Order, OrderLaw, law_of
from core.priority import PriorityRule
from ports.control import ControlWatch
from ports.demand import DemandWatch
from ports.failpoints import Failpoint, reached
from ports.fetch import RecordFetcher
from ports.law_watch import LawWatch
from ports.log import GatheringReader, GroupMember, GroupProgress, PartitionReader
from ports.meter import Metric
from ports.outcomes import OutcomeReporter
from ports.snapshots import SnapshotStore
from ports.stage import stopped_within
from schemas.ledger import FoldedEvent, LedgerFolds
from services.executor.claim import Claimer
from services.executor.context import ExecutorContext
from services.executor.end import Closer
from services.executor.fetch import Fetcher, Lanes
from services.executor.follow import Follower, cancelled_unclaimed, claims_of, stops_of
from services.executor.held import Held, Stage, WaitingJob
from services.executor.lanes import ForeignLanes
from services.executor.leased import Leased, boot_clock_s
from services.executor.limit import Limiter, Room
from services.executor.parents import ParentResultsReader, Parents
from services.executor.report import Reporter
from services.executor.settings import ExecutorSettings, Steal
from services.executor.sift import Parker, Sift
from services.executor.start import Starter
from services.executor.steal import HEADS, Thief
from services.executor.turns import StartTurns
from services.executor.workers.options import PoolOptions
from services.executor.workers.pool import WorkerPool

logger = logging.getLogger(__name__)

MEASURE_INTERVAL_S = 1.0
GATHER_S = 0.05
"""While nothing waits for it, the ledger is read so seldom: a cancel reaches its job that much later."""
FOREIGN_LANE_FETCH_BYTES = 65_536
"""Read ahead of each lane of others: a hundred lanes must not take a hundred megabytes."""


async def run(service: Service) -> None:
    """Run jobs until the service is told to stop, then finish or hand back what is held."""
    settings = cast("ExecutorSettings", service.settings)
    if settings.pool not in service.routes.pools:
        raise ValueError(
            f"PENSTOCK_POOL is {settings.pool!r}, but PENSTOCK_POOLS names {', '.join(service.routes.pools)}"
        )
    workers = WorkerPool(_pool_options(settings))
    await workers.start()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(workers.stop, 0.0)
        readers = Readers(*[await _opened(service, stack) for _ in Readers._fields])
        control = ControlWatch(readers.control, service.routes)
        await control.start()
        lanes: PartitionReader | None = None
        progress: GroupProgress | None = None
        group = f"executor.{settings.pool}"
        if settings.steal is Steal.ON:
            lanes = lanes_reader = await service.reader(partition_fetch_bytes=FOREIGN_LANE_FETCH_BYTES)
            stack.push_async_callback(lanes.close)
            progress = service.progress(lanes_reader, group=group)
            stack.push_async_callback(progress.close)
        member = await service.join(service.routes.executions(settings.pool), group=group)
        stack.push_async_callback(member.close)
        executor = Executor(service, settings, workers, member, readers, control)
        if lanes is not None and progress is not None:
            executor.steal_with(lanes, progress)
        await executor.run()


class Readers(NamedTuple):
    """Readers without a group, each for one purpose."""

    ledger: GatheringReader
    control: PartitionReader
    snapshots: PartitionReader
    executors: PartitionReader
    results: PartitionReader
    models: PartitionReader


async def _opened(service: Service, stack: contextlib.AsyncExitStack) -> GatheringReader:
    reader = await service.reader()
    stack.push_async_callback(reader.close)
    return reader


def _context(service: Service, settings: ExecutorSettings) -> ExecutorContext:
    return ExecutorContext(
        routes=service.routes,
        appender=service.appender,
        meter=service.meter,
        pool=settings.pool,
        instance=service.instance,
        version=package_version(),
        now_ms=service.clock.now_ms,
        now_s=boot_clock_s,
        outcomes=OutcomeReporter(
            service.routes, service.appender, service.meter, service.clock.now_ms, source=service.instance
        ),
    )


def _pool_options(settings: ExecutorSettings) -> PoolOptions:
    return PoolOptions(
        workers=settings.workers,
        slots_per_worker=settings.slots,
        app=settings.app_modules,
        app_path=(settings.app_path or ".",),
        memory_limit_bytes=settings.worker_memory_bytes,
        cancel_grace_s=settings.cancel_grace_s,
        result_max_bytes=settings.result_max_bytes,
    )


class Executor:
    """The steps of one executor process, and the signals between them."""

    def __init__(
        self,
        service: Service,
        settings: ExecutorSettings,
        workers: WorkerPool,
        member: GroupMember,
        readers: Readers,
        control: ControlWatch,
    ) -> None:
        self._context = context = _context(service, settings)
        self._control = control
        self._service = service
        self._settings = settings
        self._workers = workers
        self._held = held = Held()
        self._leased = leased = Leased(
            context,
            held,
            slots=settings.slots * settings.workers,
            lease_s=settings.lease_s,
            heartbeat_s=settings.heartbeat_s,
            types=lambda: tuple(workers.policies),
            renew=workers.renew_lease,
            lapsed=self._lapsed,
        )
        self._demand = DemandWatch(readers.executors, service.routes)
        self._limiter = limiter = Limiter(
            context,
            control.orders,
            self._demand.log,
            wants_more=self._has_spare,
            may_claim=lambda: leased.may_claim,
        )
        self._demand.on_read(limiter.read)
        self._laws = LawWatch(readers.models, service.routes)
        self._fetcher = self._fetcher_of(member, limiter.room, settings.lane_buffer, is_own=True)
        folds = LedgerFolds(service.epoch.epoch, with_notes=False)
        store = SnapshotStore(
            service.routes, service.epoch.epoch, service.appender, readers.snapshots, service.instance
        )
        self._follower = Follower(readers.ledger, service.routes, folds, store)
        self._claimer = self._claimer_of(folds)
        reads = ParentResultsReader(
            RecordFetcher(readers.results), service.routes, settings.parent_results_max_bytes
        )
        self._parents = Parents(reads, self._start_ready)
        self._starter = Starter(
            context, folds, held, leased, workers, self._follower.known_end, self._parents
        )
        self._starter.give_back = limiter.give_back
        self._reporter = Reporter(context, held, workers)
        self._closer = Closer(context, held, leased, workers, self._reporter)
        self._tasks: set[asyncio.Task[None]] = set()
        self._thief: Thief | None = None
        self._foreign: Fetcher | None = None
        self._drain_asked = False
        self._obey()
        control.on_change(self._obey)
        self._laws.on_change(self._law_changed)

    def _law(self) -> OrderLaw:
        settings = self._settings
        rule = PriorityRule(per_decade_s=settings.head_start_per_decade_s)
        spread = self._laws.law(settings.pool) if settings.order is Order.LEARNED else None
        return law_of(spread, rule, settings.oldest_share)

    def _law_changed(self) -> None:
        for queue in (self._fetcher, self._foreign):
            if queue is not None:
                queue.law_changed()

    def _fetcher_of(self, lanes: Lanes, room: Room, lane_buffer: int, *, is_own: bool = False) -> Fetcher:
        """Make the reader of lanes; what stands in its own it may hold, and the oldest there has a share."""
        context, slots = self._context, self._settings.slots * self._settings.workers
        return Fetcher(
            lanes,
            context,
            law=self._law,
            lane_buffer=lane_buffer,
            sift=Sift(self._control.orders, self._limiter, room),
            parker=Parker(context, self._is_over, self._control.orders) if is_own else None,
            turns=StartTurns(self._law, self._held, slots, context.now_ms) if is_own else None,
        )

    def _claimer_of(self, folds: LedgerFolds) -> Claimer:
        return Claimer(
            self._context,
            folds,
            self._fetcher,
            self._held,
            self._leased,
            self._workers,
            self._follower.may_claim_on,
            limiter=self._limiter,
            looked=self._gather,
        )

    def _is_over(self, waiting: WaitingJob) -> bool:
        return self._claimer.is_over(waiting)

    def steal_with(self, reader: PartitionReader, progress: GroupProgress) -> None:
        """Take work of other partitions too; call before ``run``."""
        lanes = ForeignLanes(reader)
        self._foreign = self._fetcher_of(lanes, self._limiter.stealable, HEADS)
        self._thief = self._claimer.stolen = self._starter.stolen = Thief(
            self._context,
            progress,
            lanes,
            self._foreign,
            self._held,
            most=self._settings.steal_partitions,
            owned=lambda: self._fetcher.partitions,
            can_follow=self._follower.can_follow,
            spare=self._claimer.spare,
            draw=random.random,
        )

    async def run(self) -> None:
        """Run until the service is told to stop; raises what any step raised."""
        await self._laws.start()
        stopping, finished = self._service.stopping, asyncio.Event()
        wake = self._claimer.wake.set
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._leased.beat(finished, wake))
            tasks.create_task(self._leased.watch(finished))
            tasks.create_task(self._follower.run(finished, self._followed, self._take))
            tasks.create_task(self._fetcher.run(stopping, wake, wake))
            tasks.create_task(self._claimer.run(stopping))
            if self._thief is not None and self._foreign is not None:
                tasks.create_task(self._thief.run(stopping))
                tasks.create_task(self._foreign.run(stopping, wake, wake))
            tasks.create_task(self._closer.run(wake))
            tasks.create_task(self._reporter.run_notes())
            tasks.create_task(self._context.outcomes.run(finished))
            tasks.create_task(self._control.run(stopping))
            tasks.create_task(self._laws.run(stopping))
            tasks.create_task(self._demand.run(stopping))
            tasks.create_task(self._limiter.run(stopping))
            tasks.create_task(self._watch(finished))
            await stopping.wait()
            wake()
            self._claimer.spare.set()
            await self._hand_back_all()
            finished.set()
        self._parents.close()

    async def _hand_back_all(self) -> None:
        """Let running jobs finish for the grace period; release the rest; say goodbye."""
        self._leased.draining = True
        reached(Failpoint.DRAINING)
        await self._workers.stop(self._settings.drain_grace_s)
        await self._closer.ended.wait()
        reached(Failpoint.DRAINED)
        claiming = [held for held in self._held.all() if held.stage is Stage.CLAIMING]
        await self._starter.hand_back(claiming, "executor stops")
        await self._closer.settle()
        await self._leased.say_goodbye()
        logger.info("handed back %d claims and stopped", len(claiming))

    def _has_spare(self) -> bool:
        return self._claimer.spare.is_set()

    def _obey(self) -> None:
        """Do what the orders ask: drain, or claim again; sift what waits by what is paused or limited."""
        asked = self._control.orders.drains.get(self._service.instance, False)
        if asked != self._drain_asked:
            logger.info("%s %s", self._service.instance, "drains" if asked else "claims again")
            self._drain_asked = self._leased.draining = asked
        for queue in (self._fetcher, self._foreign):
            if queue is not None:
                queue.orders_changed()
        self._claimer.wake.set()

    def _followed(self) -> frozenset[int]:
        foreign = self._thief.partitions if self._thief is not None else frozenset[int]()
        return self._fetcher.partitions | self._held.partitions() | foreign

    def _gather(self) -> None:
        """Read the ledger at once while anything here waits for what it says next, else seldom.

        A dispatch that arrives does not by itself: its claim is to be read, and what came before it with it.
        """
        self._follower.gather(0.0 if self._is_waiting() else GATHER_S)

    def _is_waiting(self) -> bool:
        """Whether anything here waits for what the ledger says next."""
        queues = (self._fetcher, self._foreign)
        return self._held.count(Stage.CLAIMING) > 0 or any(
            queue is not None and len(queue) for queue in queues
        )

    def _take(self, events: list[FoldedEvent]) -> None:
        """React to what the ledger says: claims of ours, jobs to stop, and progress towards known ends."""
        boot_id = self._leased.boot_id
        self._starter.read_back(claims_of(events, boot_id))
        self._claimer.cancelled(cancelled_unclaimed(events))
        self._start_ready()
        for key, reason in stops_of(events, boot_id):
            held = self._held.get(key)
            if held is not None and held.stage is Stage.RUNNING and not held.cancel_sent:
                logger.info("stopping a job: %s", reason, extra={"job_id": held.job.job_id})
                held.cancel_sent = True
                reached(Failpoint.STOP_READ)
                self._workers.cancel(key)
                reached(Failpoint.STOP_PASSED_ON)
        self._gather()
        if events:
            self._claimer.wake.set()

    def _start_ready(self) -> None:
        refused = self._starter.start_ready()
        if refused:
            self._spawn(self._starter.hand_back(refused, "lease or claim too old to start"))

    async def _lapsed(self) -> None:
        """End all work of a lapsed lease: no process of ours runs any of it afterwards."""
        reached(Failpoint.LAPSED)
        await self._workers.kill_all()
        reached(Failpoint.WORKERS_KILLED)
        self._held.drop_all()

    async def _watch(self, finished: asyncio.Event) -> None:
        """Measure, report health, and end the process when a closure cannot be appended."""
        health, meter = self._service.health, self._service.meter
        while not finished.is_set():
            health.beat()
            if self._closer.failed.is_set():
                raise RuntimeError("a closure could not be appended; the keeper takes over what was held")
            self._claimer.shed()
            self._fetcher.measure(self._service.clock.now_ms())
            running = self._held.count(Stage.RUNNING)
            meter.gauge(Metric.SLOTS_BUSY, running, pool=self._settings.pool)
            if not self._leased.holds:
                health.set_unready("no confirmed lease")
            elif self._fetcher.assignment and self._follower.caught_up:
                health.set_ready()
            await stopped_within(finished, MEASURE_INTERVAL_S)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned_ended)

    def _spawned_ended(self, task: asyncio.Task[None]) -> None:
        """Notice a hand-back that failed: what it held would be listed in every heartbeat, for ever."""
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("claims could not be handed back", exc_info=task.exception())
            self._closer.failed.set()
