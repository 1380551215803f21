"""Histories of a few jobs that get far: most verdicts hold, some are strays."""

from hypothesis import strategies as st

from core.ledger.fold import LedgerFold
from core.ledger.verdicts import Verdict
from tests.support.verdicts import EPOCH, About

JOBS = [About(f"{EPOCH}:{i}:{i * 70_000}", f"01890000-0000-7000-8000-{i:012d}") for i in range(4)]
HOUR_MS = 3_600_000

Timed = tuple[int, Verdict]
"""Broker time (ms) and what was appended then."""


def _letters(job: About, n: int) -> list[Verdict]:
    """Everything that can be said of dispatch ``n``, by two executors."""
    said: list[Verdict] = [job.preempted(n), job.retry(n), job.hold(n), job.dead(n), job.redriven(n + 1)]
    said += [job.cancel(), job.cancel_by_id(), job.expired(), job.skipped(), job.refused()]
    for by in "ab":
        said += [job.claimed(n, by), job.claimed(n + 1, by), job.succeeded(n, by), job.failed(n, by)]
        said += [job.lost(n, by), job.released(n, by)]
    return said


def _history(choices: list[tuple[int, int, int]]) -> list[Timed]:
    fold = LedgerFold(EPOCH)
    last_n = dict.fromkeys((job.origin for job in JOBS), 1)
    now_ms, history = 0, list[Timed]()
    for which, choice, hours in choices:
        job = JOBS[which]
        now_ms += hours * HOUR_MS + 1
        letters = _letters(job, last_n[job.origin])
        verdict = letters[choice % len(letters)]
        fold.apply(len(history), now_ms, verdict)
        if job.origin in fold.open:
            last_n[job.origin] = fold.open[job.origin].n
        history.append((now_ms, verdict))
    return history


def timed_histories() -> st.SearchStrategy[list[Timed]]:
    """Give up to 60 verdicts; hours or days may lie between two."""
    choice = st.tuples(st.integers(0, len(JOBS) - 1), st.integers(0, 21), st.sampled_from([0, 0, 0, 1, 13]))
    return st.lists(choice, max_size=60).map(_history)


def apply_all(fold: LedgerFold, history: list[Timed], first: int = 0) -> list[bool]:
    """Fold a history whose first verdict stands at offset ``first``; say of each whether it holds."""
    return [fold.apply(first + i, now_ms, verdict).holds for i, (now_ms, verdict) in enumerate(history)]
