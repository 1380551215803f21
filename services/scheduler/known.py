"""Watch how much the remembered ids and keys take: they grow for ever, and nobody may forget one."""

import asyncio
import logging
from collections.abc import Callable, Collection

from ports.meter import Meter, Metric
from ports.stage import stopped_within
from services.scheduler.admit import Admitter

logger = logging.getLogger(__name__)

TURN_S = 10.0
WARN_EVERY_TURNS = 30
KEPT_TURNS = 30
"""Turns a gate is kept for when its partition comes back, and while it is restored before it is owned."""


class KnownKeys:
    """Measures the gates, and lets go of those that others own and of which room could be made.

    Parameters
    ----------
    spilled
        How many keys did not fit into memory.
    """

    def __init__(
        self,
        admitter: Admitter,
        owned: Callable[[], Collection[int]],
        meter: Meter,
        spilled: Callable[[], int],
    ) -> None:
        self._admitter = admitter
        self._owned = owned
        self._meter = meter
        self._spilled = spilled
        self._turns_since_warning = WARN_EVERY_TURNS
        self._still: dict[int, tuple[int, int]] = {}
        """By partition of others: how far its gate has come, and for how many turns it has stood there."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Look at the gates until ``stopping``."""
        while not stopping.is_set():
            self.turn()
            await stopped_within(stopping, TURN_S)

    def turn(self) -> None:
        """Look once."""
        self._follow()
        if self._spilled():
            for partition in [number for number, (_, turns) in self._still.items() if turns >= KEPT_TURNS]:
                # It was kept for when its partition comes back; then it is read again.
                self._admitter.forget(partition)
        gates, spilled = self._admitter.gates.values(), self._spilled()
        self._meter.gauge(Metric.KNOWN_KEYS, sum(map(len, gates)))
        self._meter.gauge(Metric.KNOWN_KEYS_BYTES, sum(gate.size_bytes for gate in gates))
        self._meter.gauge(Metric.SPILLED_KEYS, spilled)
        self._turns_since_warning += 1
        if spilled and self._turns_since_warning >= WARN_EVERY_TURNS:
            self._turns_since_warning = 0
            logger.warning(
                "%d of %d known ids and keys do not fit into PENSTOCK_KNOWN_KEYS_MAX_BYTES and are looked up "
                "on disk: give schedulers more memory, add some, or begin a new epoch",
                spilled,
                sum(map(len, gates)),
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
