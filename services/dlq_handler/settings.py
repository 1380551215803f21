"""Settings of the dlq_handler."""

from typing import Self

from pydantic import Field, field_validator, model_validator
from typing_extensions import override

from adapters.learned.settings import ModelTrust
from adapters.runtime.settings import ServiceSettings
from core.breaker import Mode as CircuitMode
from core.learning.preemption import Mode
from core.retry_budget import BudgetRule
from core.retrying.explore import EXPLORABLE, EXPLORED_MAX, Chooser, is_explorable

HEARTBEATS_PER_LEASE_MIN = 3
GATHER_S = 0.05
"""A retry or a job handed back goes on that much later at most; backoff begins at 1 s."""


class DlqHandlerSettings(ServiceSettings):
    """``PENSTOCK_*`` settings of the dlq_handler; every executor must use the same lease."""

    lease_s: float = Field(default=45.0, gt=0)
    """Silence after which an executor is asked whether it lives, seconds. Above the longest time a
    broker may be away, plus 10 s."""
    heartbeat_s: float = Field(default=3.0, gt=0)
    """Time between two heartbeats of an executor, seconds."""
    attempt_cache_max_bytes: int = Field(default=67_108_864, ge=0)
    """Failed attempts kept in memory between their decision and its reading back; what does not fit
    is read again from the log."""

    snapshot_every: int = Field(default=200_000, ge=1)
    """Ledger records of one partition after which its fold is written as a snapshot."""
    snapshot_every_s: float = Field(default=600.0, gt=0)
    """Time after which it is written although there were fewer records, seconds."""
    snapshot_not_before_s: float = Field(default=60.0, ge=0)
    """Time between two snapshots of one partition at least, seconds: bounds what they cost under load."""

    ledger_keep_s: float = Field(default=604_800.0, ge=0)
    """How long ledger records are kept at least, seconds: how far a rebuilt table or one restored from a
    dump may lie back. The same for all instances."""
    ledger_max_bytes: int = Field(default=10_737_418_240, gt=0)
    """Size of one ledger partition above which it is trimmed earlier; never past a reader. Said in the log
    from four fifths on."""
    dlq_keep_s: float = Field(default=2_592_000.0, ge=600)
    """How long failed attempts are kept at least, seconds; well above the time an append may be under way."""
    janitor_s: float = Field(default=60.0, gt=0)
    """Time between two turns of trimming, seconds."""
    janitor_step_records: int = Field(default=1000, ge=1)
    """Records of a partition that must be free to go before any do."""

    retry_policy: Chooser = Chooser.RULE
    """Who chooses delays; ``rule`` is the switch back, effective with the restart of the service."""
    model: ModelTrust = Field(default_factory=ModelTrust)
    """Whose models of recoveries are asked, where delays are learned."""
    retry_explored: float = EXPLORED_MAX
    """Share of failures whose delay another arm chooses, when it is not the rule alone."""

    preempt: Mode = Mode.OFF
    """As for the prioritizer. Unless it is on, holds of jobs that were expected to fail end by time alone."""
    preempt_hold_s: float = Field(default=3600.0, ge=0.0)
    """Longest time such a job is held, seconds."""
    preempt_check_s: float = Field(default=5.0, gt=0)
    """Time between two looks at what is held, seconds."""

    circuits: CircuitMode = CircuitMode.ON
    """Whether jobs of what is down are held until it answers again; the same for all instances."""
    retry_budget_share: float = Field(default=0.1, ge=0.0, le=10.0)
    """Retries of a type, and of what it calls, for each success..."""
    retry_budget_floor_per_s: float = Field(default=10.0, gt=0.0)
    """...and a second without any, all instances together."""
    retry_budget_burst: float = Field(default=100.0, ge=1.0)
    """Retries at once after a quiet time, all instances together."""
    retry_budget_wait_s: float = Field(default=600.0, ge=0.0)
    """Longest time that a retry waits for the budget, seconds; 0: there is no budget."""

    @property
    @override
    def gather_s(self) -> float:
        return GATHER_S

    @property
    def budget(self) -> BudgetRule:
        """The retry budget of all instances together."""
        return BudgetRule(
            self.retry_budget_share,
            self.retry_budget_floor_per_s,
            self.retry_budget_burst,
            self.retry_budget_wait_s,
        )

    @field_validator("retry_explored")
    @classmethod
    def _check_explored(cls, explored: float) -> float:
        if not is_explorable(explored):
            raise ValueError(f"PENSTOCK_RETRY_EXPLORED is {explored:g}: {EXPLORABLE}")
        return explored

    @model_validator(mode="after")
    def _check_lease(self) -> Self:
        if self.lease_s < HEARTBEATS_PER_LEASE_MIN * self.heartbeat_s:
            raise ValueError(
                f"PENSTOCK_LEASE_S is {self.lease_s:g} and PENSTOCK_HEARTBEAT_S is {self.heartbeat_s:g}: "
                f"a lease must outlast {HEARTBEATS_PER_LEASE_MIN} heartbeats; raise the lease"
            )
        return self
