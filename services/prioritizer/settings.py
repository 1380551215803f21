"""Settings of the prioritizer."""

from adapters.runtime.settings import ServiceSettings
from core.priority import PriorityRule


class PrioritizerSettings(ServiceSettings):
    """``PENSTOCK_*`` settings of the prioritizer; all weights in seconds of head start."""

    head_start_per_decade_s: float = 1200.0
    """Per factor ten of predicted cost; executors must use the same value."""
    head_start_per_level_s: float = 600.0
    head_start_deadline_s: float = 3600.0
    deadline_window_s: float = 3600.0
    head_start_max_s: float = 7200.0

    @property
    def rule(self) -> PriorityRule:
        """The weights as the rule takes them."""
        return PriorityRule(
            per_decade_s=self.head_start_per_decade_s,
            per_level_s=self.head_start_per_level_s,
            deadline_s=self.head_start_deadline_s,
            deadline_window_s=self.deadline_window_s,
            max_s=self.head_start_max_s,
        )
