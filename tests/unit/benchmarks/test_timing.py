"""CPU times are the best of several repetitions, beside a calibration measured with them."""

import pytest

from benchmarks import timing
from benchmarks.timing import Timing, calibrate, measure


class Clock:
    """A clock that only work moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock on which a calibration run takes 0.1 s."""
    clock = Clock()

    def calibration() -> int:
        clock.now_s += 0.1
        return 0

    monkeypatch.setattr(timing, "calibrate", calibration)
    return clock


def test_the_best_repetition_counts_for_one_operation(clock: Clock) -> None:
    # Warm-up and trial run, then three repetitions of one run each.
    durations_s = iter([9.0, 1.0, 3.0, 2.0, 4.0])

    def work() -> None:
        clock.now_s += next(durations_s)

    found = measure(work, 10, repeats=3, least_s=0.5, clock=clock)
    assert found.us == pytest.approx(200_000)
    assert found.calibration_us == pytest.approx(100_000)
    assert found.ratio == pytest.approx(2.0)


def test_short_work_is_repeated_until_it_can_be_timed(clock: Clock) -> None:
    runs = 0

    def work() -> None:
        nonlocal runs
        runs += 1
        clock.now_s += 0.01

    found = measure(work, 1, repeats=2, least_s=0.5, clock=clock)
    assert runs == 2 + 2 * 50
    assert found.us == pytest.approx(10_000)


def test_the_calibration_always_does_the_same_work() -> None:
    assert calibrate() == calibrate() > 0


def test_a_slower_machine_has_the_same_ratio() -> None:
    assert Timing(30.0, 100.0).ratio == pytest.approx(Timing(90.0, 300.0).ratio)
