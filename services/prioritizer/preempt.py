"""Say what is done about each dispatch that is expected to fail, within what may be diverted."""

import logging

from core.learning.preemption import DivertBudget, Mode, PreemptRule, Way, draw_for, way_of
from ports.meter import Meter, Metric
from schemas.accepted_job import AcceptedJob
from services.prioritizer.decide import marked
from services.prioritizer.expect import Expected, ModelsInForce

logger = logging.getLogger(__name__)


class Preemptor:
    """Marks what is expected to fail.

    Parameters
    ----------
    models
        Without a champion that has a point nothing is diverted, whatever ``mode`` says.
    """

    def __init__(self, mode: Mode, rule: PreemptRule, models: ModelsInForce | None, meter: Meter) -> None:
        self._mode = mode
        self._rule = rule
        self._models = models
        self._meter = meter
        self._of_type = DivertBudget(rule.budget_share)
        self._of_tenant = DivertBudget(rule.budget_share)
        self._in_force: Mode | None = None

    def marked(self, jobs: list[AcceptedJob], expected: list[Expected]) -> list[Expected]:
        """Note of each dispatch that is expected to fail what is done about it."""
        mode = self._mode_now()
        return [self._marked(job, one, mode) for job, one in zip(jobs, expected, strict=True)]

    def _marked(self, job: AcceptedJob, expected: Expected, mode: Mode) -> Expected:
        self._of_type.saw(job.type)
        self._of_tenant.saw(job.tenant)
        if expected.foreseen is None:
            return expected
        has_room = self._of_type.has_room(job.type) and self._of_tenant.has_room(job.tenant)
        way = way_of(expected.foreseen, mode, self._rule, draw_for(job.origin, job.n), has_room=has_room)
        if way is Way.DIVERTED:
            self._of_type.divert(job.type)
            self._of_tenant.divert(job.tenant)
        self._meter.count(Metric.FORESEEN, way=str(way))
        return marked(expected, way)

    def _mode_now(self) -> Mode:
        """Give the mode in force, and say when it is another than before."""
        models = self._models
        champion = None if models is None else models.champion
        has_point = models is not None and champion is not None and models.failing is not None
        mode = self._mode if has_point else Mode.WATCH
        if mode is not self._in_force:
            self._in_force = mode
            for one in Mode:
                self._meter.gauge(Metric.PREEMPT_MODE, one is mode, mode=str(one))
            if mode is not self._mode:
                logger.warning(
                    "PENSTOCK_PREEMPT is on, and goes on as watch: %s from which failures are nearly certain "
                    "(failing in `penstock models show`)",
                    "no champion has a point" if champion is None else f"model {champion.name} has no point",
                )
            else:
                logger.info("pre-emption is in mode %s", mode)
        return mode
