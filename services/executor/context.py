"""What every step of an executor needs of its surroundings."""

from collections.abc import Callable
from dataclasses import dataclass

from ports.log import Appender
from ports.meter import Meter
from ports.outcomes import OutcomeReporter
from schemas.topics import RouteMap


@dataclass(frozen=True)
class ExecutorContext:
    """The log, the meter, the clocks, and who this executor is.

    ``now_ms`` is broker time (ms since 1970), for what is written down; ``now_s`` the boot clock
    (seconds), for leases.
    """

    routes: RouteMap
    appender: Appender
    meter: Meter
    pool: str
    instance: str
    version: str
    now_ms: Callable[[], int]
    now_s: Callable[[], float]
    outcomes: OutcomeReporter
