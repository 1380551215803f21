from math import inf

import numpy as np
import pytest

from core.retrying.arms import Backoff, Never, Oracle, Planned, Spread
from core.retrying.bins import BINS, TICK_S, Floats
from core.retrying.choice import Act, Arm, Moment, snapped
from core.retrying.plan import Costs, planned


class _Flat:
    def __init__(self, hazard: float = 0.05) -> None:
        self._hazard = hazard

    def hazards(self, moment: Moment) -> Floats:
        del moment
        return np.full(BINS, self._hazard)


DOUBLING = Backoff("60 s doubling", 60.0, 21_600.0, tries=10)
ARMS: list[Arm] = [
    Never(),
    DOUBLING,
    Backoff("full", 30.0, 3600.0, 8, spread=Spread.FULL),
    Planned("flat", _Flat(), Costs(300.0, 1.0, 21_600.0)),
    Oracle(lambda moment: moment.now_s + 77.0),
]


def _at(failures: int, tries_left: int = 20, latest_s: float = inf) -> Moment:
    return Moment(100.0, failures, tries_left, latest_s, now_s=1e9)


def test_a_plan_gives_up_only_where_that_is_right_by_far() -> None:
    costs = Costs(wasted_try=300.0, delay_per_s=1.0, abandoned=21_600.0)
    for hazard, exact, cautious in (
        (0.0, Act.STOP, Act.STOP),
        (0.0005, Act.STOP, Act.TRY),
        (0.1, Act.TRY, Act.TRY),
    ):
        of = _Flat(hazard)
        assert planned(of.hazards(_at(1)), _at(1), costs, 0.5).act is exact
        assert Planned("flat", of, costs).choose(_at(1), 0.5).act is cautious


def test_waits_double_up_to_the_cap_and_end_with_the_tries() -> None:
    delays = [DOUBLING.choose(_at(failures), 0.9).delay_s for failures in range(1, 11)]
    assert delays[:4] == [60.0, 120.0, 240.0, 480.0]
    assert max(delays) == 21_600.0
    assert DOUBLING.choose(_at(11), 0.9).act is Act.STOP


@pytest.mark.parametrize(
    ("spread", "low_s"), [(Spread.FULL, TICK_S), (Spread.EQUAL, 30.0), (Spread.NONE, 60.0)]
)
def test_a_draw_moves_a_wait_within_its_window(spread: Spread, low_s: float) -> None:
    arm = Backoff("x", 60.0, 600.0, 5, spread=spread)
    assert arm.choose(_at(1), 0.0).delay_s == low_s
    assert low_s <= arm.choose(_at(1), 0.9999).delay_s <= 60.0


def test_the_oracle_tries_when_it_works_and_never_where_it_does_not() -> None:
    assert Oracle(lambda moment: moment.now_s + 77.0).choose(_at(1), 0.5).delay_s == 77.0
    assert Oracle(lambda moment: moment.now_s - 77.0).choose(_at(1), 0.5).delay_s == TICK_S
    assert Oracle(lambda _: None).choose(_at(1), 0.5).act is Act.STOP


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.name)
def test_no_arm_tries_without_tries_left_or_past_a_deadline(arm: Arm) -> None:
    assert arm.choose(_at(1, tries_left=0), 0.5).act is Act.STOP
    close = arm.choose(_at(1, latest_s=3.0), 0.5)
    assert close.act is Act.STOP or close.delay_s <= 3.0


def test_a_delay_is_snapped_up_to_the_tick() -> None:
    assert [snapped(delay_s) for delay_s in (0.0, 0.1, 0.25, 0.26, 61.0)] == [0.25, 0.25, 0.25, 0.5, 61.0]
