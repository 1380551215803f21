"""The checks of the closing verification, pure: facts in, violations out. Each of them can fail."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from core.states import TERMINAL
from penstock.demo.effects import Effect
from penstock.demo.evidence import Evidence, JobRow, LoggedJob
from penstock.demo.plan import Ending

ENVIRONMENT_CLASSES = frozenset({"lost", "poison", "timeout"})
"""Error classes that a killed process or a busy machine can cause; a job whose own work was fine may
die of them when faults are injected. Any other class on such a job is a fault of the pipeline."""
_OK = "ok"


class Finding(NamedTuple):
    """One check and what it found wrong; no violations means that it holds."""

    check: str
    violations: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.violations


Check = Callable[[Evidence], Iterator[str]]


def all_submissions_in_log(evidence: Evidence) -> Iterator[str]:
    """Everything sent stands in the input topic where the broker said it does."""
    for submission, place in evidence.acknowledged.items():
        if place not in evidence.found.get(submission, frozenset()):
            yield f"submission {submission} was acknowledged at {_text(place)} but is not there"
    for submission in evidence.unsent:
        yield f"submission {submission} never reached the log"


def all_jobs_terminal(evidence: Evidence) -> Iterator[str]:
    """Every job submitted is in the table, in a terminal state."""
    for job in evidence.jobs.values():
        row = evidence.rows.get(job.job_id)
        if row is None:
            yield f"{_name(job)} is not in the table"
        elif row.state not in TERMINAL:
            yield f"{_name(job)} is {row.state}"


def table_equals_log(evidence: Evidence) -> Iterator[str]:
    """Compare the whole table with a fresh fold of the whole ledger."""
    if evidence.table_differences is None:
        yield f"table and ledger could not be compared: {evidence.table_problem}"
    else:
        yield from evidence.table_differences


def no_dispatch_ran_twice(evidence: Evidence) -> Iterator[str]:
    """No (job, dispatch) was started more than once."""
    for (job_id, dispatch), starts in _starts(evidence).items():
        if starts > 1:
            yield f"job {job_id}, dispatch {dispatch} was started {starts} times"


def no_overlap(evidence: Evidence) -> Iterator[str]:
    """No two dispatches of a job ran at the same time.

    A dispatch without an end line (its process was killed) is taken to have ended by then: nothing
    in the effects can say when it did.
    """
    spans: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
    ends: dict[tuple[str, int], float] = {}
    for line in evidence.effects.lines:
        if line.event == "end":
            key = (line.job_id, line.dispatch)
            ends[key] = max(ends.get(key, line.at), line.at)
    for line in _started(evidence):
        end_at = ends.get((line.job_id, line.dispatch), line.at)
        spans[line.job_id].append((line.at, end_at, line.dispatch))
    for job_id, runs in spans.items():
        yield from _overlaps(job_id, sorted(runs))


def _overlaps(job_id: str, runs: list[tuple[float, float, int]]) -> Iterator[str]:
    latest_end, latest_dispatch = float("-inf"), 0
    for start_at, end_at, dispatch in runs:
        if start_at < latest_end and dispatch != latest_dispatch:
            early_ms = 1000 * (latest_end - start_at)
            yield f"job {job_id}: dispatch {dispatch} began {early_ms:.0f} ms before {latest_dispatch} ended"
        if end_at > latest_end:
            latest_end, latest_dispatch = end_at, dispatch


def succeeded_jobs_did_their_work(evidence: Evidence) -> Iterator[str]:
    """Ask that the dispatch that made a job succeed has an end line saying that its work ended well."""
    done = {(e.job_id, e.dispatch) for e in evidence.effects.lines if e.event == "end" and e.outcome == _OK}
    for job in evidence.jobs.values():
        row = evidence.rows.get(job.job_id)
        if row is None or row.state != Ending.SUCCEEDED:
            continue
        if row.succeeded_dispatch is None:
            yield f"{_name(job)} is succeeded but the table names no dispatch that was"
        elif (job.job_id, row.succeeded_dispatch) not in done:
            yield f"{_name(job)} is succeeded but dispatch {row.succeeded_dispatch} did not end well"


def jobs_ended_as_their_work(evidence: Evidence) -> Iterator[str]:
    """Work that can succeed succeeds, and work that always fails is dead."""
    for job in evidence.jobs.values():
        row = evidence.rows.get(job.job_id)
        if row is None or row.state not in TERMINAL or row.state == job.ending:
            continue
        if row.state == Ending.DEAD and row.error_class in ENVIRONMENT_CLASSES:
            continue
        why = f" ({row.error_class}: {row.error_message})" if row.error_class else ""
        yield f"{_name(job)} is {row.state}{why}, but its work ends in {job.ending}"


def rejected_are_the_malformed(evidence: Evidence) -> Iterator[str]:
    """Ask that exactly the malformed records were rejected."""
    for place in sorted(evidence.malformed - evidence.rejected.keys()):
        yield f"the malformed record at {_text(place)} was not rejected"
    ours = {place for places in evidence.found.values() for place in places}
    for place in sorted((evidence.rejected.keys() & ours) - evidence.malformed):
        yield f"the job at {_text(place)} was rejected: {evidence.rejected[place]}"


def nothing_foreign_ran(evidence: Evidence) -> Iterator[str]:
    """Nothing ran, and nothing is in the table for this run, that was not submitted."""
    seen = {line.job_id for line in evidence.effects.lines}
    for job_id in sorted(seen - evidence.jobs.keys()):
        yield f"job {job_id} ran but was never submitted"
    for job_id in sorted(evidence.rows.keys() - evidence.jobs.keys()):
        yield f"job {job_id} is in the table but was never submitted"
    if evidence.effects.unreadable:
        yield f"{evidence.effects.unreadable} lines of the effects file cannot be read"


def repeats_ran_once(evidence: Evidence) -> Iterator[str]:
    """Ask that records with the same idempotency key are one job."""
    rows: Counter[int | None] = Counter(row.number for row in evidence.rows.values())
    starts = _starts(evidence)
    for job in evidence.jobs.values():
        if not job.keyed:
            continue
        if rows[job.number] > 1:
            yield f"{_name(job)} has one key but {rows[job.number]} rows"
        first_starts = starts[(job.job_id, 1)]
        if job.records > 1 and first_starts > 1:
            yield f"{_name(job)} was submitted {job.records} times and started {first_starts} times"


def dead_letters_have_reasons(evidence: Evidence) -> Iterator[str]:
    """Every dead job says of what it died."""
    for row in dead_letters(evidence):
        if not row.error_class or not row.error_message:
            yield f"job {row.job_id} ({row.type}) is dead without a reason"


CHECKS: tuple[tuple[str, Check], ...] = (
    ("every submission is in the log", all_submissions_in_log),
    ("every job is terminal", all_jobs_terminal),
    ("the table equals a fresh fold of the ledger", table_equals_log),
    ("no dispatch ran twice", no_dispatch_ran_twice),
    ("no two dispatches of a job overlap", no_overlap),
    ("every succeeded job did its work", succeeded_jobs_did_their_work),
    ("every job ended as its work says", jobs_ended_as_their_work),
    ("rejected is exactly what was malformed", rejected_are_the_malformed),
    ("nothing ran that was not submitted", nothing_foreign_ran),
    ("repeated keys ran once", repeats_ran_once),
    ("every dead letter has a reason", dead_letters_have_reasons),
)


def check_all(evidence: Evidence) -> list[Finding]:
    """Make every check."""
    return [Finding(name, tuple(check(evidence))) for name, check in CHECKS]


def duplicate_runs(evidence: Evidence) -> int:
    """Count starts beyond the first of each (job, dispatch)."""
    return sum(starts - 1 for starts in _starts(evidence).values())


def dead_letters(evidence: Evidence) -> list[JobRow]:
    """Give the dead jobs, by type."""
    dead = [row for row in evidence.rows.values() if row.state == Ending.DEAD]
    return sorted(dead, key=lambda row: (row.type, row.job_id))


def _starts(evidence: Evidence) -> Counter[tuple[str, int]]:
    return Counter((line.job_id, line.dispatch) for line in _started(evidence))


def _started(evidence: Evidence) -> Iterator[Effect]:
    return (line for line in evidence.effects.lines if line.event == "start")


def _name(job: LoggedJob) -> str:
    return f"job {job.job_id} ({job.type}, number {job.number})"


def _text(place: tuple[int, int]) -> str:
    return f"jobs/{place[0]}/{place[1]}"
