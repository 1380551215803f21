"""Runs of one service with failpoints armed: who is at the wheel, and what its log says it did."""

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.chaos.rig.process import NOTHING, wait_until
from tests.chaos.scenario import FaultDidNotBiteError, Field
from tests.chaos.services import Instance

READY_TIMEOUT_S = 180.0


@contextmanager
def taken_over(field: Field, name: str) -> Iterator[Instance]:
    """Kill an instance and leave its starting to the block; afterwards it is kept running as before."""
    services = field.stack.services
    services.hold_down(name)
    try:
        yield services[name]
    finally:
        services.keep(name)
    services.wait_ready(READY_TIMEOUT_S)


class ArmedRun:
    """One run of an instance that is held down, with orders for its failpoints."""

    def __init__(self, field: Field, name: str, orders: str, more: Mapping[str, str] = NOTHING) -> None:
        services = field.stack.services
        self.instance = services[name]
        self._log = self.instance.process.log
        self._begins_at = self._log.stat().st_size
        services.start_once(name, {**more, "PENSTOCK_FAILPOINTS": orders})

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self.instance.process.is_alive

    def has_acted_at(self, place: str) -> bool:
        """Whether its log says that its order for this place was carried out."""
        with self._log.open("rb") as file:
            file.seek(self._begins_at)
            said = [line for line in file if b'"failpoint"' in line and line.endswith(b"\n")]
        return any(json.loads(line).get("failpoint") == place for line in said)

    def wait_acted_at(self, place: str, timeout_s: float) -> None:
        """Return once it has carried out its order for this place, and lives."""
        wait_until(
            lambda: self.has_acted_at(place) or not self.is_alive, f"{place} is reached", timeout_s, 0.1
        )
        if not self.is_alive:
            raise FaultDidNotBiteError(f"{self.instance.process.describe()}\nbefore {place} was reached")

    def require_killed_at(self, place: str) -> None:
        """Raise when something else than the order for this place ended it."""
        code = self.instance.process.exit_code
        if code != -signal.SIGKILL or not self.has_acted_at(place):
            raise FaultDidNotBiteError(f"not killed at {place}: {self.instance.process.describe()}")
