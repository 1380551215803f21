"""What an instance says of itself in ``control``, and how wrong its wall clock is."""

import asyncio
import logging
import os
import socket
import time
from importlib.metadata import PackageNotFoundError, version

from adapters.kafka.clock import BrokerClock, boot_ms
from core.log import NewRecord
from core.wall_clock import SKEW_WARN_S, announces_again
from ports.failpoints import Failpoint, reached
from ports.log import Appender
from ports.meter import Meter, Metric
from schemas.codec import encode
from schemas.control import PresenceRecord
from schemas.topics import RouteMap

logger = logging.getLogger(__name__)


class Presence:
    """Announces one instance, again when its wall clock has moved against the broker's, and now and then."""

    def __init__(
        self,
        service: str,
        instance: str,
        metrics_port: int,
        *,
        routes: RouteMap,
        appender: Appender,
        clock: BrokerClock,
        meter: Meter,
    ) -> None:
        self._service = service
        self._instance = instance
        self._metrics_port = metrics_port
        self._routes = routes
        self._appender = appender
        self._clock = clock
        self._meter = meter
        self._announced_skew_s = 0.0
        self._announced_at_s = 0.0

    async def announce(self) -> None:
        """Write this instance's presence; the first one sets the broker clock."""
        skew_s = self._skew_s()
        presence = PresenceRecord(
            service=self._service,
            instance=self._instance,
            wall_ms=int(time.time() * 1000),
            host=socket.gethostname(),
            pid=os.getpid(),
            version=package_version(),
            metrics_port=self._metrics_port,
            skew_ms=None if skew_s is None else round(skew_s * 1000),
        )
        key = f"presence/{self._instance}".encode()
        reached(Failpoint.CONNECTED)
        await self._appender.append([NewRecord(self._routes.control, 0, key, encode(presence))])
        reached(Failpoint.ANNOUNCED)
        self._announced_skew_s = skew_s or 0.0
        self._announced_at_s = boot_ms() / 1000

    async def watch(self, every_s: float) -> None:
        """Measure the wall clock for ever, and announce anew what has changed."""
        while True:
            await self.measure()
            await asyncio.sleep(every_s)

    async def measure(self) -> None:
        """Measure the wall clock once."""
        skew_s = self._skew_s()
        if skew_s is None:
            return
        self._meter.gauge(Metric.CLOCK_SKEW, skew_s)
        since_s = boot_ms() / 1000 - self._announced_at_s
        if announces_again(self._announced_skew_s, skew_s, since_s):
            self._say(skew_s)
            await self.announce()

    def _say(self, skew_s: float) -> None:
        if abs(skew_s) > SKEW_WARN_S:
            logger.warning(
                "the wall clock of %s is %.1f s off the broker's; due times use the broker's",
                self._instance,
                skew_s,
            )
        elif abs(self._announced_skew_s) > SKEW_WARN_S:
            logger.warning("the wall clock of %s is right again", self._instance)

    def _skew_s(self) -> float | None:
        if not self._clock.is_set:
            return None
        return (time.time() * 1000 - self._clock.now_ms()) / 1000


def package_version() -> str:
    """Give the installed version, or ``0+source`` when run from a tree that is not installed."""
    try:
        return version("penstock")
    except PackageNotFoundError:
        return "0+source"
