"""Whether diverting what is expected to fail would pay, by what became of those that ran. Pure."""

from typing import NamedTuple

from core.learning.preemption import wilson

LEAST_RAN = 200
"""Fewer ends of dispatches above the point than this are no evidence."""


class Ran(NamedTuple):
    """What became of dispatches above the point that ran, whatever was decided about others."""

    succeeded: int = 0
    """False alarms."""
    recovered: int = 0
    """They failed, and a retry saved their job: dead, it would have been lost all the same."""
    failed: int = 0
    """They failed, and so did their job in the end."""
    failed_run_s: float = 0.0
    """Run time of the last: what diverting them would have saved."""

    @property
    def ends(self) -> int:
        """All of them."""
        return self.succeeded + self.recovered + self.failed

    @property
    def good(self) -> int:
        """Jobs that would have been stopped wrongly."""
        return self.succeeded + self.recovered


class Evidence(NamedTuple):
    """What they say of diverting such."""

    precision: float | None
    """Share of dispatches that failed; None: none has ended."""
    precision_low: float
    precision_high: float
    saved_s: float
    good: int
    cost_s: float
    is_enough: bool
    pays: bool | None
    """Whether it pays at the unfavourable end of the interval, or does not at the other; else None."""
    words: str


def evidence_of(ran: Ran, good_job_s: float) -> Evidence:
    """Judge what it would have brought to divert all of them, at a price for each good job."""
    wrong = ran.recovered + ran.failed
    precision = wrong / ran.ends if ran.ends else None
    saved_s, cost_s = ran.failed_run_s, ran.good * good_job_s
    is_enough = ran.ends >= LEAST_RAN
    pays = _pays(ran, good_job_s) if is_enough else None
    figures = f"{saved_s:.0f} s saved, {ran.good} good jobs stopped at {good_job_s:g} s each: {cost_s:.0f} s"
    if not is_enough:
        words = (
            f"no verdict: {ran.ends} dispatches above the point have ended, {LEAST_RAN} are needed; "
            "leave PENSTOCK_PREEMPT at watch until then"
        )
    elif pays:
        words = f"it pays: {figures}; PENSTOCK_PREEMPT=on diverts such dispatches"
    elif pays is False:
        words = f"it does not pay: {figures}; leave PENSTOCK_PREEMPT at watch or off"
    else:
        words = f"it may pay, and may not: {figures}; leave PENSTOCK_PREEMPT at watch for longer"
    return Evidence(precision, *wilson(wrong, ran.ends), saved_s, ran.good, cost_s, is_enough, pays, words)


def _pays(ran: Ran, good_job_s: float) -> bool | None:
    each_s = ran.failed_run_s / ran.failed if ran.failed else 0.0
    at_low, at_high = (share * each_s - (1 - share) * good_job_s for share in wilson(ran.failed, ran.ends))
    return True if at_low > 0 else False if at_high <= 0 else None
