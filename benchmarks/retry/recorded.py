"""Failure episodes of recorded jobs."""

from bisect import bisect_right
from collections import defaultdict
from math import inf
from typing import NamedTuple

import numpy as np

from adapters.recordings.jobs import RecordedJobs
from core.learning.events import Status
from core.retrying.choice import Subject

NOT_SEEN = -1


class Episode(NamedTuple):
    """Jobs of one (tenant, type) failed until one that was submitted later succeeded.

    Attributes
    ----------
    job
        Place of the job whose failure began it.
    recovered_ms
        Submission of the first success after the beginning; ``NOT_SEEN`` without one.
    closed_ms
        End of that success: nobody knows of the recovery before.
    """

    job: int
    began_ms: int
    recovered_ms: int
    closed_ms: int
    subject: Subject

    @property
    def recovered_s(self) -> float:
        """Age at recovery; infinite without one."""
        return (self.recovered_ms - self.began_ms) / 1000 if self.recovered_ms != NOT_SEEN else inf


def subject_of(jobs: RecordedJobs, job: int) -> Subject:
    """Give tenant and type of a job."""
    return Subject(str(jobs.tenant[job]), str(jobs.type[job]))


def episodes_of(jobs: RecordedJobs) -> list[Episode]:
    """Give all episodes in order of their beginning."""
    failures: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    successes: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    keys = list(zip(jobs.tenant.tolist(), jobs.type.tolist(), strict=True))
    for job in np.flatnonzero((jobs.status == Status.FAILED) & jobs.has_ended).tolist():
        failures[keys[job]].append((int(jobs.ended_ms[job]), job))
    for job in np.flatnonzero((jobs.status == Status.OK) & jobs.has_ended).tolist():
        if keys[job] in failures:
            successes[keys[job]].append((int(jobs.submitted_ms[job]), int(jobs.ended_ms[job])))
    found: list[Episode] = []
    for key, failed in failures.items():
        found += _of_key(jobs, sorted(failed), sorted(successes[key]))
    return sorted(found, key=lambda episode: (episode.began_ms, episode.job))


def _of_key(
    jobs: RecordedJobs, failed: list[tuple[int, int]], worked: list[tuple[int, int]]
) -> list[Episode]:
    found: list[Episode] = []
    submitted = [submitted_ms for submitted_ms, _ in worked]
    closed_ms = NOT_SEEN
    for ended_ms, job in failed:
        if ended_ms <= closed_ms:
            continue
        place = bisect_right(submitted, ended_ms)
        if place == len(worked):
            found.append(Episode(job, ended_ms, NOT_SEEN, NOT_SEEN, subject_of(jobs, job)))
            break
        recovered_ms, closed_ms = worked[place]
        found.append(Episode(job, ended_ms, recovered_ms, closed_ms, subject_of(jobs, job)))
    return found
