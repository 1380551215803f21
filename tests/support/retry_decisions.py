"""Logged decisions about failures, of jobs that recover as a feature says, or as nothing says."""

import numpy as np
import psycopg
from psycopg.types.json import Jsonb

from adapters.learned.retry_logged import Decided, RetryLogged
from core.retrying.choice import Subject
from core.retrying.columns import COLUMN, FINGERPRINT
from core.retrying.features import Failure, features
from tests.support.recoveries import SPEAKING

BEGIN_MS = 1_700_000_000_000
TRIED_AT_S = (0.0, 30.0, 120.0, 600.0, 1800.0, 5400.0)
"""Ages at which a job is tried, until a try works."""
DEAD_OF = 20
"""One job in so many never recovers, and is given up."""
EVERY_MS = 60_000


def logged_of(jobs: int = 400, seed: int = 1, *, shuffled: bool = False, begin: int = 0) -> RetryLogged:
    """Give decisions about jobs of which half recover after a minute, and half after an hour.

    Which half a job is of stands in ``SPEAKING``; ``shuffled``, in that of another job.
    """
    dice = np.random.default_rng(seed)
    quick = dice.random(jobs) < 0.5
    said = dice.permutation(quick) if shuffled else quick
    found: list[Decided] = []
    for number in range(jobs):
        first_ms = BEGIN_MS + (begin + number) * EVERY_MS
        recovers_s = float(dice.lognormal(np.log(60.0 if quick[number] else 3600.0), 0.3))
        is_dead = number % DEAD_OF == 0
        tried = [age_s for age_s in TRIED_AT_S if is_dead or age_s < recovers_s]
        works_s = next((age_s for age_s in TRIED_AT_S if age_s >= recovers_s), recovers_s)
        ended_ms = first_ms + round((tried[-1] if is_dead else works_s) * 1000)
        subject = Subject(f"t{number % 3}", f"k{number % 2}", "503")
        for age_s in tried:
            at_ms = first_ms + round(age_s * 1000)
            vector = features(Failure(1, 1, age_s, at_ms / 1000), {})
            vector[COLUMN[SPEAKING]] = said[number]
            is_retry = not (is_dead and age_s == tried[-1])
            job = f"00000000-0000-0000-0000-{begin + number:012d}"
            found.append(Decided(job, at_ms, age_s, is_retry, subject, vector, ended_ms, not is_dead))
    return RetryLogged(sorted(found, key=lambda one: one.at_ms))


def fill_decisions(database_url: str, logged: RetryLogged, fingerprint: str = FINGERPRINT) -> None:
    """Put decisions, and what became of their jobs, into the tables."""
    by_job = {one.job: one for one in logged.decided}
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO jobs (job_id, tenant, type, pool, state, state_rank, dispatch, finished_at) "
            "VALUES (%s, %s, %s, 'default', %s, 1, 1, to_timestamp(%s))",
            [
                (
                    one.job,
                    one.subject.tenant,
                    one.subject.type,
                    "queued" if one.ended_ms is None else "succeeded" if one.recovered else "dead",
                    None if one.ended_ms is None else one.ended_ms / 1000,
                )
                for one in by_job.values()
            ],
        )
        cursor.executemany(
            "INSERT INTO retry_decisions (job_id, n, decided_at, signature, error_class, action, policy, "
            "arm, propensity, context, fingerprint, features) "
            "VALUES (%s, %s, to_timestamp(%s), %s, 'transient', %s, 'learned', 'planned', 1, %s, %s, %s)",
            [
                (
                    *(one.job, number, one.at_ms / 1000, one.subject.signature),
                    "retry" if one.is_retry else "dead",
                    Jsonb({"age_s": one.age_s}),
                    None if one.vector is None else fingerprint,
                    None if one.vector is None else one.vector.astype("<f4").tobytes(),
                )
                for number, one in enumerate(logged.decided)
            ],
        )
