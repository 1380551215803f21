"""The frame of a service process: connect, check the epoch, announce, run, stop on a signal."""

import asyncio
import gc
import logging
import math
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from aiokafka.errors import KafkaConnectionError, KafkaError

from adapters.kafka.admin import EpochError, require_epoch
from adapters.kafka.appender import KafkaAppender
from adapters.kafka.clock import BrokerClock
from adapters.kafka.epoch_watch import watch_epoch
from adapters.kafka.group import KafkaGroupMember, Restore, StartAt
from adapters.kafka.progress import KafkaGroupProgress
from adapters.kafka.reader import PARTITION_FETCH_MAX_BYTES, START_TIMEOUT_S, KafkaReader
from adapters.kafka.retention import KafkaRetention
from adapters.kafka.topology import route_map
from adapters.runtime.failpoints import FailpointSpecificationError, arm_from
from adapters.runtime.presence import Presence
from adapters.runtime.reach import BrokerWatch
from adapters.runtime.settings import ServiceSettings
from adapters.runtime.stop import CLEAN_UP_S, leave_in, run_until_stopped
from adapters.telemetry.health import Health, start_http
from adapters.telemetry.logs import setup_logs
from adapters.telemetry.prometheus import PrometheusMeter
from core.gates.id_gate import GateGapError
from core.ledger.fold import WrongEpochError
from penstock.errors import PenstockError
from ports.failpoints import Failpoint, reached
from ports.log import OffsetOutOfRangeError
from ports.meter import Metric
from ports.snapshots import LedgerTrimmedError
from ports.state_table import TableUnusableError
from schemas.codec import UnreadableRecordError
from schemas.control import EpochRecord
from schemas.ledger import LedgerGapError
from schemas.topics import RouteMap

logger = logging.getLogger(__name__)

CONNECT_ATTEMPT_S = 1.0
GC_THRESHOLDS = (50_000, 10, 10)
"""The youngest objects take some 10 MB at most; see ``collect_seldom``."""
_WITH_REMEDY = (
    EpochError,
    FailpointSpecificationError,
    GateGapError,
    LedgerGapError,
    LedgerTrimmedError,
    OffsetOutOfRangeError,
    PenstockError,
    TableUnusableError,
    UnreadableRecordError,
    WrongEpochError,
)
"""Errors whose message says what to do; no traceback helps."""
LAG_INTERVAL_S = 5.0
TURN_INTERVAL_S = 1.0
"""How often the event loop says that it runs; well below ``adapters.telemetry.health.LOOP_STALL_S``."""


@dataclass(frozen=True)
class Service:
    """What a service's wiring builds its steps from."""

    name: str
    instance: str
    settings: ServiceSettings
    routes: RouteMap
    epoch: EpochRecord
    clock: BrokerClock
    appender: KafkaAppender
    meter: PrometheusMeter
    health: Health
    stopping: asyncio.Event
    """Set by SIGTERM or SIGINT: finish what is under way and return."""
    metrics_port: int
    members: list[KafkaGroupMember] = field(default_factory=list)

    async def join(
        self,
        topics: Sequence[str],
        *,
        group: str | None = None,
        start_at: StartAt | None = None,
        restore: Restore | None = None,
    ) -> KafkaGroupMember:
        """Join the service's consumer group on ``topics``; the caller closes the member."""
        member = KafkaGroupMember(
            self.settings.kafka,
            self.clock,
            group=self.routes.group(group or self.name),
            instance=self.instance,
            topics=topics,
            start_at=start_at,
            restore=restore,
            session_timeout_s=self.settings.session_timeout_s,
            gather_s=self.settings.gather_s,
        )
        await member.start()
        reached(Failpoint.JOINED)
        self.members.append(member)
        return member

    async def reader(self, *, partition_fetch_bytes: int = PARTITION_FETCH_MAX_BYTES) -> KafkaReader:
        """Open a reader without a group; the caller closes it.

        Parameters
        ----------
        partition_fetch_bytes
            Most it reads ahead of each partition; what does not fit comes a record at a time.
        """
        reader = KafkaReader(
            self.settings.kafka,
            client_id=f"{self.instance}-reader",
            patience_s=math.inf,
            partition_fetch_bytes=partition_fetch_bytes,
        )
        await reader.start()
        return reader

    def progress(self, reader: KafkaReader, *, group: str) -> KafkaGroupProgress:
        """Ask how far a group has come; the caller closes it, and the reader, which it uses."""
        return KafkaGroupProgress(self.settings.kafka, reader, group=self.routes.group(group))

    async def retention(self) -> KafkaRetention:
        """Open an administrator's view of the log; the caller closes it."""
        retention = KafkaRetention(self.settings.kafka, client_id=f"{self.instance}-janitor")
        await retention.start()
        return retention


Run = Callable[[Service], Awaitable[None]]


def serve(name: str, settings: ServiceSettings, run: Run) -> int:
    """Run one service until a signal; give the process exit code.

    Exit code 0: stopped by a signal, at the latest ``stop_limit_s`` and a few seconds after it; what the
    broker did not take by then is done again. 1: it cannot go on (logged with the remedy); a
    supervisor starts it again, and it restores itself from the log.
    """
    instance = settings.instance_of(name)
    setup_logs(name, instance, settings.log_level)
    collect_seldom()
    try:
        arm_from(settings.failpoints, name)
        return asyncio.run(_serve(name, instance, settings, run))
    except Exception as error:
        _say_why(name, error)
        return 1


def _say_why(name: str, error: Exception) -> None:
    for cause in _causes(error):
        if isinstance(cause, _WITH_REMEDY):
            logger.error("%s cannot go on: %s", name, cause)
        else:
            logger.error("%s stopped by an unexpected error", name, exc_info=cause)


def collect_seldom() -> None:
    """Look for garbage in cycles seldom: there is next to none, and each look visits what is young.

    At Python's own threshold of 700 services spent a fifth of their CPU on it. What is imported is never
    looked at again.
    """
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def _causes(error: BaseException) -> list[BaseException]:
    """Take task groups apart: what the first failing step raised is what people must read."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [cause for inner in error.exceptions for cause in _causes(inner)]


async def _serve(name: str, instance: str, settings: ServiceSettings, run: Run) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    work = _live(name, instance, settings, run, stopping)
    try:
        await run_until_stopped(work, stopping, settings.stop_limit_s)
    except Exception as error:
        # Said and limited here: a library's task that cannot be cancelled would hold the end of the loop up.
        _say_why(name, error)
        leave_in(CLEAN_UP_S)
        return 1
    return 0


async def _live(
    name: str, instance: str, settings: ServiceSettings, run: Run, stopping: asyncio.Event
) -> None:
    health, meter, clock = Health(), PrometheusMeter(), BrokerClock()
    port = start_http(settings.metrics_port, health, meter.registry, settings.metrics_host)
    routes = route_map(settings.names)
    epoch = await _until_connected(settings, routes, health, stopping)
    if epoch is None:
        return
    appender = KafkaAppender(settings.kafka, clock, client_id=instance)
    await appender.start()
    service = Service(name, instance, settings, routes, epoch, clock, appender, meter, health, stopping, port)
    watch = BrokerWatch(appender, health)
    presence = Presence(name, instance, port, routes=routes, appender=appender, clock=clock, meter=meter)
    try:
        await presence.announce()
        logger.info("%s runs on epoch %s, metrics on port %d", name, epoch.epoch, port)
        beside = [
            asyncio.create_task(_measure_lag(service)),
            asyncio.create_task(watch.run()),
            asyncio.create_task(_turn(health)),
            asyncio.create_task(presence.watch(settings.clock_check_s)),
        ]
        try:
            await _unless_topics_change(service, run)
            reached(Failpoint.LEFT)
        finally:
            for task in beside:
                task.cancel()
    finally:
        health.set_unready("stopping")
        await appender.close()


async def _unless_topics_change(service: Service, run: Run) -> None:
    """Run until the service is told to stop, or cut it off from topics that are not its own any more.

    Raises
    ------
    EpochError
        They were deleted, made again, or repartitioned.
    """
    async with asyncio.TaskGroup() as tasks:
        watch = tasks.create_task(_watch_epoch(service))
        try:
            await run(service)
        finally:
            watch.cancel()


async def _watch_epoch(service: Service) -> None:
    try:
        await watch_epoch(service.settings.kafka, service.routes, service.epoch, service.instance)
    except EpochError:
        # The time it may take to stop is limited from here on.
        service.stopping.set()
        raise


async def _until_connected(
    settings: ServiceSettings, routes: RouteMap, health: Health, stopping: asyncio.Event
) -> EpochRecord | None:
    while not stopping.is_set():
        health.beat()
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                return await require_epoch(settings.kafka, routes)
        except (KafkaConnectionError, KafkaError, OSError, TimeoutError) as error:
            health.set_unready(f"no Kafka at {settings.kafka.bootstrap}: {error}")
            logger.warning("waiting for Kafka at %s: %s", settings.kafka.bootstrap, error)
            await asyncio.sleep(CONNECT_ATTEMPT_S)
    return None


async def _turn(health: Health) -> None:
    """Say, for ever, that the event loop runs; user code never shares it, so only a fault blocks it."""
    while True:
        health.turn()
        await asyncio.sleep(TURN_INTERVAL_S)


async def _measure_lag(service: Service) -> None:
    """Report, for ever, how many records the service has not been given yet."""
    while True:
        for member in service.members:
            for topic, records in member.lag().items():
                service.meter.gauge(Metric.LAG, records, topic=topic)
        await asyncio.sleep(LAG_INTERVAL_S)


def exit_with(name: str, settings: ServiceSettings, run: Run) -> None:
    """Serve, then leave the process with its exit code."""
    sys.exit(serve(name, settings, run))
