"""What ``penstock why`` asks of the state table; every question is bounded by an index.

The index on (pool, bucket, ready_at) has also what ended. A walk begins where the executors are, which
only the log knows (``penstock.cli.why_log.lane_heads``), so it meets hardly any row but queued ones.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, LiteralString

from core.buckets import BUCKETS
from penstock.cli.queries import Database, Rows

STATEMENT_TIMEOUT_S = 30
"""A million queued jobs are counted in a tenth of it."""
RECENT_JOBS = 300
"""Of each bucket: those that were taken last. Run times of more than that are of another hour."""
LOOKED_AT = 5_000
"""To find those: as many may have become ready in one instant, some taken and some not."""
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
ARRIVALS_WITHIN_S = 300.0
ARRIVALS_MAX = 20_000
"""Of each bucket; when more arrived, their rate is that of the newest of them."""
UNKNOWN_RUN_S = 1.0
"""Prediction of a dispatch that has none in its row."""

_LANE = """bucket = {0} AND ready_at >= %(since_{0})s AND ready_at <= %(until_{0})s
           AND (ready_at < %(until_{0})s OR %(bucket)s = {0} AND job_id <> %(job)s::uuid)"""
# One condition a bucket, each with its own times: the planner knows what it looks for, and a page that has
# jobs of several buckets is read once.
_AHEAD = f"""
SELECT bucket, type, tenant, bucket = %(bucket)s AND ready_at = %(ready_at)s AS tied,
       bucket <> %(bucket)s OR ready_at < %(ready_at)s
       OR (origin_partition, origin_offset, job_id) < (%(partition)s, %(offset)s, %(job)s::uuid) AS before,
       count(*) AS jobs, sum(coalesce(predicted_run_s, %(unknown_s)s)) AS predicted_s
FROM jobs
WHERE pool = %(pool)s AND state = 'queued'
  AND ({" OR ".join(f"({_LANE.format(bucket)})" for bucket in range(BUCKETS))})
GROUP BY 1, 2, 3, 4, 5
"""  # noqa: S608 - our own text
_RECENT = """
SELECT taken.type, taken.bucket, taken.state, taken.run_s,
       coalesce(taken.predicted_run_s, %(unknown_s)s) AS predicted_s, last.executor_id, last.claimed_at,
       last.outcome, extract(epoch FROM last.finished_at - last.claimed_at)::float8 AS slot_s,
       extract(epoch FROM last.claimed_at - taken.ready_at)::float8 AS waited_s
FROM unnest(%(buckets)s::int[], %(until)s::timestamptz[]) AS lane(bucket, until)
CROSS JOIN LATERAL (
    SELECT * FROM (
        SELECT job_id, type, bucket, state, run_s, predicted_run_s, dispatch, ready_at FROM jobs
        WHERE pool = %(pool)s AND bucket = lane.bucket AND ready_at <= lane.until
        ORDER BY ready_at DESC LIMIT %(looked_at)s
    ) AS newest
    WHERE state <> 'queued' ORDER BY ready_at DESC LIMIT %(limit)s
) AS taken
JOIN job_attempts AS last ON last.job_id = taken.job_id AND last.n = taken.dispatch
"""
_ARRIVALS = """
SELECT lane.bucket, came.type, count(*) AS jobs, sum(came.predicted_s) AS predicted_s,
       min(came.ready_at) AS since
FROM unnest(%(buckets)s::int[]) AS lane(bucket)
CROSS JOIN LATERAL (
    SELECT type, ready_at, coalesce(predicted_run_s, %(unknown_s)s) AS predicted_s FROM jobs
    WHERE pool = %(pool)s AND bucket = lane.bucket AND ready_at >= %(since)s
    ORDER BY ready_at DESC LIMIT %(limit)s
) AS came
GROUP BY lane.bucket, came.type
"""
_PARENTS = """
SELECT job_id::text AS job_id, type, state FROM jobs WHERE job_id = ANY(%s::uuid[])
"""
_GROUP = """
SELECT job_id::text AS job_id, type, state FROM jobs
WHERE workflow_id = %s AND tenant = %s AND job_group = %s
"""
_KIND = "SELECT * FROM signatures WHERE signature = %s"
_CHOICE = "SELECT model, p_works FROM retry_decisions WHERE job_id = %s::uuid AND n = %s"
_CHILDREN = """
SELECT job_id::text AS job_id, type, state, priority, deadline_at FROM jobs
WHERE workflow_id = %s AND tenant = %s AND finished_at IS NULL
  AND (depends_on @> to_jsonb(%s::text) OR depends_on->>'group' = %s)
ORDER BY priority DESC, deadline_at, job_id LIMIT 100
"""


async def bound(database: Database) -> None:
    """End every question of this connection after ``STATEMENT_TIMEOUT_S``, and let it sort in memory."""
    for name, value in (("statement_timeout", f"{STATEMENT_TIMEOUT_S}s"), ("work_mem", "32MB")):
        await database.execute("SELECT set_config(%s, %s, false)", [name, value])


Question = tuple[bytes, dict[str, Any]]


def ahead_question(job: Mapping[str, Any], lanes: Mapping[int, tuple[datetime, datetime]]) -> Question:
    """Ask for those queued in the job's pool and in these stretches of ready times, by bucket, type, tenant.

    Of a stretch's last instant only the job's own bucket counts: those are ``tied``, and ``before`` it as far
    as their records in ``jobs`` are.
    """
    return _AHEAD.encode(), {
        "pool": job["pool"],
        "bucket": job["bucket"],
        "ready_at": job["ready_at"],
        "partition": job["origin_partition"],
        "offset": job["origin_offset"],
        "job": job["job_id"],
        "unknown_s": UNKNOWN_RUN_S,
        **{f"since_{bucket}": lanes[bucket][0] if bucket in lanes else LATEST for bucket in range(BUCKETS)},
        **{f"until_{bucket}": lanes[bucket][1] if bucket in lanes else EARLIEST for bucket in range(BUCKETS)},
    }


def taken_question(pool: str, until: Mapping[int, datetime]) -> Question:
    """Ask for the jobs that executors took last up to these ready times, by bucket; running ones, too."""
    return _RECENT.encode(), {
        "pool": pool,
        "buckets": list(until),
        "until": list(until.values()),
        "looked_at": LOOKED_AT,
        "limit": RECENT_JOBS,
        "unknown_s": UNKNOWN_RUN_S,
    }


def arrivals_question(pool: str, buckets: Sequence[int], since: datetime) -> Question:
    """Ask for what became ready in these buckets since then, by bucket and type."""
    return _ARRIVALS.encode(), {
        "pool": pool,
        "buckets": list(buckets),
        "since": since,
        "limit": ARRIVALS_MAX,
        "unknown_s": UNKNOWN_RUN_S,
    }


async def answer(database: Database, question: Question) -> Rows:
    """Give the rows of an answer."""
    return await _all(database, *question)


async def parents_of(database: Database, job: Mapping[str, Any]) -> Rows:
    """Give the jobs it depends on, as far as the table has them."""
    match job["depends_on"]:
        case {"group": str() as group}:
            return await _all(database, _GROUP, [job["workflow_id"], job["tenant"], group])
        case list() as listed if listed:
            return await _all(database, _PARENTS, [listed])
        case _:
            return []


async def children_of(database: Database, job: Mapping[str, Any]) -> Rows:
    """Give the jobs that wait for it in its workflow, the most urgent first."""
    if job["workflow_id"] is None:
        return []
    parameters = [job["workflow_id"], job["tenant"], job["job_id"], job["job_group"]]
    return await _all(database, _CHILDREN, parameters)


async def kind_of(database: Database, signature: str) -> Rows:
    """Give the kind of failure that is named so; of none when the table does not have it yet."""
    return await _all(database, _KIND, [signature])


async def choice_of(database: Database, job_id: str, n: int) -> Rows:
    """Give how the delay after a dispatch was chosen; of none when it did not fail."""
    return await _all(database, _CHOICE, [job_id, n])


async def _all(database: Database, sql: LiteralString | bytes, parameters: Any) -> Rows:
    return await (await database.execute(sql, parameters)).fetchall()
