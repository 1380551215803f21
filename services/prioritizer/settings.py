"""Settings of the prioritizer."""

from pydantic import Field

from adapters.learned.settings import ModelTrust
from adapters.runtime.settings import ServiceSettings
from core.learning.law import Order
from core.learning.preemption import ANYWAY_SHARE, BUDGET_SHARE, GOOD_JOB_S, Mode, PreemptRule
from core.priority import PriorityRule


class PrioritizerSettings(ServiceSettings):
    """``PENSTOCK_*`` settings of the prioritizer; all weights in seconds of head start."""

    model: ModelTrust = Field(default_factory=ModelTrust)
    head_start_per_decade_s: float = 1200.0
    """Per factor ten of predicted cost; executors must use the same value."""
    head_start_per_level_s: float = 600.0
    head_start_deadline_s: float = 3600.0
    deadline_window_s: float = 3600.0
    head_start_max_s: float = 7200.0
    head_start_per_share_s: float = 300.0
    """Taken away per doubling of a tenant's share of recent work over an equal one; 0: never."""
    order: Order = Order.LEARNED
    """``rule``: nothing that is learned orders jobs here; executors must use the same value."""
    own_model: str = ""
    """``module:Class``: a model of your own is champion here instead of the published one."""
    vectors_per_s: float = Field(default=100.0, ge=0.0)
    """Feature vectors logged a second: of all dispatches up to that rate, of a fair share above it."""
    preempt: Mode = Mode.OFF
    """What is done about jobs that will nearly certainly fail: watch marks them, on diverts them."""
    preempt_good_job_s: float = Field(default=GOOD_JOB_S, ge=0.0)
    """Price of stopping a job that would not have failed, seconds of run time."""
    preempt_anyway_share: float = Field(default=ANYWAY_SHARE, ge=0.0, le=1.0)
    """Share of what would be diverted that runs anyway, to show how often models are wrong."""
    preempt_budget_share: float = Field(default=BUDGET_SHARE, ge=0.0, le=1.0)
    """Most of the dispatches of a type, and of a tenant, that is diverted."""

    @property
    def preempt_rule(self) -> PreemptRule:
        """What diverting may cost, as whoever decides takes it."""
        return PreemptRule(self.preempt_good_job_s, self.preempt_anyway_share, self.preempt_budget_share)

    @property
    def rule(self) -> PriorityRule:
        """The weights as the rule takes them."""
        return PriorityRule(
            per_decade_s=self.head_start_per_decade_s,
            per_level_s=self.head_start_per_level_s,
            deadline_s=self.head_start_deadline_s,
            deadline_window_s=self.deadline_window_s,
            max_s=self.head_start_max_s,
            share_s=self.head_start_per_share_s,
        )
