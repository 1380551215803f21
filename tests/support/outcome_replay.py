"""A history told to ``jobs.outcomes`` as reporters tell it, and the batch that a stream is held against."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from random import Random

import msgspec

from core.learning.aggregates import image
from core.learning.events import DID_NOT_RUN, Ended, Key, Status, Submitted
from core.learning.fold import FeatureFold
from core.learning.seconds import LAG_MS, REMEMBERED_S, SECOND_MS
from core.log import NewRecord
from penstock.demo.traces import RecordedEnd, TraceJob
from schemas.outcomes import OutcomeBatch, Report, Subject, outcome_records
from schemas.topics import RouteMap

STATUSES = {
    RecordedEnd.FINISHED: Status.OK,
    RecordedEnd.FAILED: Status.FAILED,
    RecordedEnd.KILLED: Status.CANCELLED,
    RecordedEnd.EVICTED: Status.LOST,
}


def reports_of(jobs: Iterable[TraceJob]) -> list[Report]:
    """Give what a trace tells of its jobs, in order of time."""
    reports: list[Report] = []
    for number, job in enumerate(jobs):
        subject = Subject(job.user, job.type, f"name-{number % 7}")
        ready_ms = round(job.submit_s * 1000)
        reports.append(Report(subject, Submitted(ready_ms, f"e:0:{number}", 1, number % 999)))
        if job.end in STATUSES:
            status = STATUSES[job.end]
            run_ms = round((job.run_s or 0) * 1000)
            end_ms = ready_ms + 500 + run_ms
            told_ms = DID_NOT_RUN if status is Status.LOST else run_ms
            reports.append(Report(subject, Ended(end_ms, f"e:0:{number}", 1, told_ms, status, ready_ms)))
    return sorted(reports, key=lambda report: report.event.at_ms)


def told_by_seconds(routes: RouteMap, reports: Sequence[Report]) -> list[list[NewRecord]]:
    """Give the records that tell all this, second by second, and then the time once it is over."""
    told: list[list[NewRecord]] = []
    end_ms = 0
    for second, group in groupby(reports, key=lambda report: report.event.at_ms // SECOND_MS):
        end_ms = (second + 1) * SECOND_MS
        told.append(outcome_records(routes, "executor-0", second, end_ms, list(group)))
    every = range(routes.learning_partitions)
    return [*told, outcome_records(routes, "executor-0", 0, end_ms + LAG_MS, [], every)]


def repeated(told: Sequence[list[NewRecord]], rng: Random) -> list[NewRecord]:
    """Give the records of all seconds, some twice: at once, or when they are closed and not forgotten."""
    sent: list[NewRecord] = []
    again: list[list[NewRecord]] = []
    for records in told:
        sent += records
        if rng.random() < 0.3:
            sent += records
        if rng.random() < 0.2:
            again.append(records)
        if again and rng.random() < 0.3:
            late = again.pop(0)
            if _end_ms(records) - _end_ms(late) < REMEMBERED_S * SECOND_MS:
                sent += late
    return sent


def _end_ms(records: Sequence[NewRecord]) -> int:
    return msgspec.json.decode(records[0].value or b"", type=OutcomeBatch).end_ms


def batch_images(reports: Iterable[Report]) -> dict[Key, bytes]:
    """Fold everything at once; give the state of every key as bytes."""
    fold, newest_ms = FeatureFold(), 0
    for subject, event in reports:
        fold.take(event, subject.keys)
        newest_ms = max(newest_ms, event.at_ms)
    for _ in fold.close(newest_ms + SECOND_MS):
        pass
    return {key: image(state) for key, state in fold.states.items()}
