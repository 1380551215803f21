"""CPU time of pure Python work, beside a fixed piece of work measured at the same moments."""

import gc
import time
from collections.abc import Callable
from typing import NamedTuple

CALIBRATION_ROUNDS = 1000

Clock = Callable[[], float]
"""Seconds of CPU this process has used."""


class Timing(NamedTuple):
    """The best of several repetitions, microseconds of CPU."""

    us: float
    """For one operation."""
    calibration_us: float
    """For one run of ``calibrate``, best of the runs made between the repetitions."""

    @property
    def ratio(self) -> float:
        """Share of one calibration run that one operation costs: comparable between machines."""
        return self.us / self.calibration_us


def calibrate() -> int:
    """Do a fixed amount of ordinary Python: strings, a dictionary, integers, calls."""
    table: dict[str, int] = {}
    total = 0
    for number in range(CALIBRATION_ROUNDS):
        text = str(number)
        table[text] = number
        total += len(text) + table[text]
    return total


def measure(
    work: Callable[[], object],
    operations: int,
    *,
    repeats: int = 5,
    least_s: float = 0.05,
    clock: Clock = time.process_time,
) -> Timing:
    """Time ``work``, which does ``operations`` of them; the best repetition counts.

    The collector of garbage stays on, as it is in a service.

    Parameters
    ----------
    least_s
        A repetition runs ``work`` as often as is needed to take about this long.
    """
    loops = _loops(work, least_s, clock)
    calibration_loops = _loops(calibrate, least_s, clock)
    best_s = best_calibration_s = float("inf")
    for _ in range(repeats):
        gc.collect()
        best_calibration_s = min(best_calibration_s, _spent_s(calibrate, calibration_loops, clock))
        best_s = min(best_s, _spent_s(work, loops, clock))
    return Timing(best_s / loops / operations * 1e6, best_calibration_s / calibration_loops * 1e6)


def _loops(work: Callable[[], object], least_s: float, clock: Clock) -> int:
    """Run once to warm up, then once more to see how long it takes."""
    work()
    once_s = _spent_s(work, 1, clock)
    return max(1, round(least_s / max(once_s, 1e-7)))


def _spent_s(work: Callable[[], object], loops: int, clock: Clock) -> float:
    began_s = clock()
    for _ in range(loops):
        work()
    return clock() - began_s
