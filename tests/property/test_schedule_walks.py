"""Each tick is one job: walks of schedulers that crash, stand still and wake up, while people edit."""

import random
from collections import defaultdict

from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.schedules import GRACE_MS, CatchUp
from penstock.identity import job_id_from_tick
from schemas.schedules import Defined, Plan
from tests.support.schedule_world import START_MS, Log, Operator, Process, Valid, tick_of

NAMES = ("a", "b")
STEPS = 250
ADVANCE_MAX_MS = 1500
WALK_MAX_MS = GRACE_MS - 2 * ADVANCE_MAX_MS
"""A whole walk stays below the grace, so that no tick of an active schedule is ever missed."""
DAY_MS = 86_400_000


def ticks_of(plan: Plan, after_ms: int, until_ms: int) -> list[int]:
    """The oracle's own: intervals by division, cron expressions of this test by the second."""
    every_ms, anchor_ms = (1000, 0) if plan.cron is not None else (plan.every_ms or 0, plan.anchor_ms)
    return [at for at in range(after_ms + 1, until_ms + 1) if not (at - anchor_ms) % every_ms]


class Walk:
    """One walk, and what must hold at its end."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.log = Log()
        self.operator = Operator(self.log)
        self.processes = [self._process() for _ in range(3)]
        self.incarnations: dict[str, str] = {}
        self._born = 0

    def _process(self) -> Process:
        return Process(self.log, self.dice.choice((0, 0, 3, 40)))

    def _plan(self) -> Plan:
        if self.dice.random() < 0.4:
            return self.operator.plan(cron="* * * * * *", zone="Europe/Berlin")
        return self.operator.plan(
            every_ms=self.dice.randint(1000, 4000), anchor_ms=self.dice.randint(0, 5000)
        )

    def run(self) -> None:
        for _ in range(STEPS):
            what = self.dice.random()
            if what < 0.75:
                self._advance_one()
            elif what < 0.85:
                self._pass_time()
            elif what < 0.9:
                number = self.dice.randrange(len(self.processes))
                self.processes[number].crash()
                self.processes[number] = self._process()
            elif what < 0.93:
                self.log.compact()
            else:
                self._change()
        self._heal()

    def _pass_time(self) -> None:
        if self.log.now_ms - START_MS < WALK_MAX_MS:
            self.log.now_ms += self.dice.choice((0, 1, self.dice.randint(0, ADVANCE_MAX_MS)))

    def _advance_one(self) -> None:
        # The last one moves rarely: it wakes up in a world that went on without it.
        weights = [8, 8, 1]
        process = self.dice.choices(self.processes, weights)[0]
        for _ in range(self.dice.randint(1, 6)):
            process.step()

    def _change(self) -> None:
        name = self.dice.choice(NAMES)
        view = self.operator.view(name)
        if view is None:
            self._born += 1
            catch_up = self.dice.choice(list(CatchUp))
            defined = Defined(name, f"i{self._born}", 1, self._plan(), catch_up, DAY_MS)
            self.incarnations[defined.incarnation] = name
            self.operator.create(defined)
            return
        what = self.dice.random()
        if what < 0.15:
            self.operator.delete(view)
        elif what < 0.5:
            self.operator.pause(view, paused=not view.defined.plan.paused)
        else:
            self.operator.edit(view, self._plan())

    def _heal(self) -> None:
        """Everybody wakes up; then one scheduler works until nothing is due."""
        for name in NAMES:
            view = self.operator.view(name)
            if view is not None and view.defined.plan.paused:
                self.operator.pause(view, paused=False)
        self.log.now_ms += 1
        for process in [*self.processes, Process(self.log, 0)]:
            turns = 0
            while turns < 4:
                turns += process.step()

    def check(self) -> None:
        bodies: defaultdict[str, set[str]] = defaultdict(set)
        found: defaultdict[str, set[Valid]] = defaultdict(set)
        for job in self.log.jobs:
            bodies[job["job_id"]].add(repr(job))
            at_ms = tick_of(job)
            incarnation = next(
                incarnation
                for incarnation, name in self.incarnations.items()
                if job_id_from_tick(name, incarnation, at_ms) == job["job_id"]
            )
            found[incarnation].add(Valid(at_ms, int(job["payload"])))
        assert all(len(one) == 1 for one in bodies.values()), "a repeat of a tick is another job"
        for incarnation in self.incarnations:
            self._check_one(incarnation, found[incarnation])

    def _check_one(self, incarnation: str, found: set[Valid]) -> None:
        valid = self.operator.valid(incarnation, self.log.now_ms, ticks_of)
        assert found <= set(valid), f"fired what is no tick: {sorted(found - set(valid))}"
        if not self.operator.is_live(incarnation):
            return
        view = self.operator.view(self.incarnations[incarnation])
        assert view is not None
        if not self.operator.was_paused(incarnation) or view.defined.catch_up is CatchUp.ALL:
            assert set(valid) - found == set(), "a tick was lost"


@settings(max_examples=100)
@given(st.integers(0, 2**32))
@example(0)
def test_each_tick_is_one_job_whatever_crashes_wakes_up_or_is_edited(seed: int) -> None:
    walk = Walk(seed)
    walk.run()
    assert walk.log.now_ms - START_MS < GRACE_MS
    walk.check()


def test_walks_do_what_they_are_for() -> None:
    # Many ticks, fired more than once by several, in schedules that were edited, paused, deleted, made again.
    ticks, repeats, ends, edits = 0, 0, 0, 0
    for seed in range(25):
        walk = Walk(seed)
        walk.run()
        ids = [job["job_id"] for job in walk.log.jobs]
        ticks += len(set(ids))
        repeats += len(ids) - len(set(ids))
        ends += sum(not walk.operator.is_live(one) for one in walk.incarnations)
        edits += sum(len(one) for one in walk.operator.history.values())
    assert ticks > 80
    assert repeats > 20
    assert ends > 4
    assert edits > 120
