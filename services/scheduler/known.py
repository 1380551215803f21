"""Watch how much the remembered ids and keys take: they grow for ever, and nobody may forget one."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection

from ports.meter import Meter, Metric
from services.scheduler.admit import Admitter

logger = logging.getLogger(__name__)

TURN_S = 10.0
WARN_SHARE = 0.8
"""Of the limit: with time left to add schedulers."""
WARN_EVERY_TURNS = 30
KEPT_TURNS = 30
"""Turns a gate is kept for when its partition comes back, and while it is restored before it is owned."""


class KnownKeys:
    """Measures the gates, lets go of those that others own when room gets short, and warns."""

    def __init__(
        self, admitter: Admitter, owned: Callable[[], Collection[int]], meter: Meter, max_bytes: int
    ) -> None:
        self._admitter = admitter
        self._owned = owned
        self._meter = meter
        self._max_bytes = max_bytes
        self._turns_since_warning = WARN_EVERY_TURNS
        self._still: dict[int, tuple[int, int]] = {}
        """By partition of others: how far its gate has come, and for how many turns it has stood there."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Look at the gates until ``stopping``."""
        while not stopping.is_set():
            self.turn()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), TURN_S)

    def turn(self) -> None:
        """Look once."""
        self._follow()
        if self._size_bytes() > WARN_SHARE * self._max_bytes:
            for partition in [number for number, (_, turns) in self._still.items() if turns >= KEPT_TURNS]:
                self._admitter.forget(partition)
        size_bytes, keys = self._size_bytes(), sum(map(len, self._admitter.gates.values()))
        self._meter.gauge(Metric.KNOWN_KEYS, keys)
        self._meter.gauge(Metric.KNOWN_KEYS_BYTES, size_bytes)
        self._turns_since_warning += 1
        if size_bytes > WARN_SHARE * self._max_bytes and self._turns_since_warning >= WARN_EVERY_TURNS:
            self._turns_since_warning = 0
            logger.warning(
                "%d known ids and keys take %d MiB, %.0f %% of PENSTOCK_KNOWN_KEYS_MAX_BYTES; nothing is "
                "forgotten: add schedulers, give them more memory, or begin a new epoch",
                keys,
                size_bytes >> 20,
                100 * size_bytes / self._max_bytes,
            )

    def _follow(self) -> None:
        """Note which gates of others stand still; one that is being restored does not."""
        still: dict[int, tuple[int, int]] = {}
        owned = self._owned()
        for partition, gate in self._admitter.gates.items():
            if partition not in owned:
                at, turns = self._still.get(partition, (-1, 0))
                still[partition] = (gate.next_offset, turns + 1 if at == gate.next_offset else 0)
        self._still = still

    def _size_bytes(self) -> int:
        return sum(gate.size_bytes for gate in self._admitter.gates.values())
