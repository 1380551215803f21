"""Settings of an executor."""

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator
from typing_extensions import override

from adapters.runtime.settings import ServiceSettings
from core.learning.law import OLDEST_SHARE, Order

HELD_MAX = 8192
"""Most jobs of one executor: twice as many (while closures are under way) of 59 bytes each fill a record."""


class Steal(StrEnum):
    """Whether an executor with free slots takes work from partitions it does not own."""

    ON = "on"
    OFF = "off"


class ExecutorSettings(ServiceSettings):
    """``PENSTOCK_*`` settings of an executor; durations in seconds."""

    pool: str = "default"
    """The execution pool this executor serves; one of ``PENSTOCK_POOLS``."""
    app: str = ""
    """Modules with ``@task`` functions, separated by commas; built-in tasks are always there."""
    app_path: str = ""
    """Directory put first on the workers' import path; the working directory by default."""
    workers: int = Field(default=2, ge=1, le=256)
    slots: int = Field(default=32, ge=1, le=10_000)
    """Jobs one worker process runs at once."""
    worker_memory_bytes: int = 1 << 30
    """A worker above this resident size is killed; its jobs are tried again elsewhere."""
    lease_s: float = Field(default=45.0, ge=1.0)
    """Must exceed the worst broker outage to survive by 10 s, and five heartbeats."""
    heartbeat_s: float = Field(default=3.0, gt=0.0)
    cancel_grace_s: float = Field(default=10.0, ge=0.0)
    """How long a cancelled attempt has to see ``ctx.cancelled``, unless its task says otherwise. Then an
    async handler is cancelled, and the worker of one that goes on is killed: of a sync one at once, of
    an async one 5 s later."""
    drain_grace_s: float = 15.0
    """How long a stopping executor lets running jobs finish before it hands them back."""
    head_start_per_decade_s: float = 1200.0
    """Must equal the prioritizer's."""
    order: Order = Order.LEARNED
    """``rule``: nothing that is learned orders jobs here; prioritizers must use the same value."""
    oldest_share: float = Field(default=OLDEST_SHARE, ge=0.0, le=1.0)
    """Share of the slots that always take the job that is ready longest, whatever any score says."""
    lane_buffer: int = 500
    """Dispatches fetched ahead per bucket and partition."""
    steal: Steal = Steal.ON
    """With ``off`` each executor runs only what stands in its own partitions."""
    steal_partitions: int = Field(default=32, ge=1, le=10_000)
    """Most partitions of others followed at once; each costs the memory of its ledger's fold."""
    result_max_bytes: int = Field(default=65_536, ge=2, le=524_288)
    """Largest result, bytes of JSON; a success carries it to the ledger, whose records end at 1 MiB."""
    parent_results_max_bytes: int = Field(default=1_048_576, ge=0, le=67_108_864)
    """Most bytes of JSON a job is given of its parents' results together; of more none, and it is told."""

    @model_validator(mode="after")
    def _check_heartbeat_size(self) -> Self:
        if self.workers * self.slots > HELD_MAX:
            raise ValueError(
                f"PENSTOCK_WORKERS x PENSTOCK_SLOTS is {self.workers * self.slots}: a heartbeat lists what "
                f"is held, and one record holds no more than {HELD_MAX} jobs; run more executors"
            )
        return self

    @property
    @override
    def stop_limit_s(self) -> float:
        """Seconds from the word to stop until the service gives up what is under way: the drain first."""
        return self.drain_grace_s + self.stop_timeout_s

    @property
    def app_modules(self) -> tuple[str, ...]:
        """The app modules as a tuple."""
        return tuple(name.strip() for name in self.app.split(",") if name.strip())
