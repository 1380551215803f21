"""Made-up attempts of failing tasks: where there are no recordings at hand, and for tests.

Jobs are of two kinds: what fails in one fails always and slowly, in the other now and then and early.
"""

from collections.abc import Iterator

import numpy as np

from benchmarks.retry.attempts import Attempt, Ending

HOPELESS = 0.5
TASKS_A_JOB = 12
ATTEMPTS_MAX = 12
USERS = 12


def made_up(jobs: int, until_ms: int, seed: int) -> list[Attempt]:
    """Make the attempts of some jobs over some time; equal seeds make equal attempts."""
    dice = np.random.default_rng(seed)
    return [
        attempt
        for job in range(jobs)
        for task in range(TASKS_A_JOB)
        for attempt in _of_task(dice, job, task, int(dice.integers(0, until_ms)))
    ]


def _of_task(dice: np.random.Generator, job: int, task: int, at_ms: int) -> Iterator[Attempt]:
    # A job's kind must not change from task to task.
    hopeless = (job * 0.618) % 1.0 < HOPELESS
    for number in range(ATTEMPTS_MAX):
        works = not hopeless and dice.random() < 0.6 and number > 0
        run_ms = int(dice.exponential(1_500_000 if hopeless else 40_000)) + 1000
        ending = Ending.WORKED if works else Ending.FAILED
        yield Attempt(job, task, number, at_ms, at_ms, at_ms + run_ms, ending, job % USERS, 1, 0)
        if works:
            return
        at_ms += run_ms
