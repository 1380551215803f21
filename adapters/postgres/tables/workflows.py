"""``v1_workflows``: one row a workflow, made of the rows of its jobs whenever it is asked for.

A table of its own would be a second truth, written with every change of a job. Measured in
``docs/performance.md``.
"""

from adapters.postgres.tables.query_view import QueryView
from core.states import TERMINAL

_ENDED = ", ".join(f"'{state}'" for state in sorted(TERMINAL))

# The chain goes from the job that ran and ended last to the parent that ended last, and so on: one parent a
# step, found by its key or by the index on workflow_id. UNION, not UNION ALL: no row can be walked twice.
_CHAIN = """
    WITH RECURSIVE chain AS (
        (SELECT j.job_id, j.depends_on, j.run_s FROM jobs j
         WHERE j.workflow_id = w.workflow_id AND j.tenant = w.tenant
           AND j.finished_at IS NOT NULL AND j.run_s IS NOT NULL
         ORDER BY j.finished_at DESC, j.job_id LIMIT 1)
        UNION
        SELECT parent.job_id, parent.depends_on, parent.run_s FROM chain c, LATERAL (
            SELECT p.job_id, p.depends_on, p.run_s, p.finished_at
            FROM jsonb_array_elements_text(
                CASE jsonb_typeof(c.depends_on) WHEN 'array' THEN c.depends_on ELSE '[]'::jsonb END
            ) listed
            JOIN jobs p ON p.job_id = listed.value::uuid
            WHERE p.workflow_id = w.workflow_id AND p.finished_at IS NOT NULL AND p.run_s IS NOT NULL
            UNION ALL
            SELECT p.job_id, p.depends_on, p.run_s, p.finished_at FROM jobs p
            WHERE jsonb_typeof(c.depends_on) = 'object' AND p.workflow_id = w.workflow_id
              AND p.tenant = w.tenant AND p.job_group = c.depends_on->>'group'
              AND p.finished_at IS NOT NULL AND p.run_s IS NOT NULL
            ORDER BY finished_at DESC, job_id LIMIT 1
        ) parent
    )
    SELECT sum(run_s) AS critical_path_s FROM chain
"""

_QUERY = f"""
    SELECT w.tenant, w.workflow_id, w.state, w.jobs, w.accepted, w.waiting, w.held, w.queued, w.running,
           w.retrying, w.succeeded, w.dead, w.cancelled, w.expired, w.skipped, w.refused, w.progress,
           path.critical_path_s, w.submitted_at, w.started_at, w.finished_at, w.updated_at
    FROM (
        SELECT tenant, workflow_id,
               CASE WHEN bool_or(state NOT IN ({_ENDED})) THEN 'running'
                    WHEN bool_or(state IN ('dead', 'refused', 'expired')) THEN 'failed'
                    WHEN bool_or(state = 'cancelled') THEN 'cancelled'
                    ELSE 'succeeded' END AS state,
               count(*) AS jobs,
               count(*) FILTER (WHERE state = 'accepted') AS accepted,
               count(*) FILTER (WHERE state = 'waiting') AS waiting,
               count(*) FILTER (WHERE state = 'held') AS held,
               count(*) FILTER (WHERE state = 'queued') AS queued,
               count(*) FILTER (WHERE state = 'running') AS running,
               count(*) FILTER (WHERE state = 'retrying') AS retrying,
               count(*) FILTER (WHERE state = 'succeeded') AS succeeded,
               count(*) FILTER (WHERE state = 'dead') AS dead,
               count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
               count(*) FILTER (WHERE state = 'expired') AS expired,
               count(*) FILTER (WHERE state = 'skipped') AS skipped,
               count(*) FILTER (WHERE state = 'refused') AS refused,
               count(*) FILTER (WHERE state IN ({_ENDED}))::float8 / count(*) AS progress,
               min(submitted_at) AS submitted_at,
               min(started_at) AS started_at,
               CASE WHEN bool_and(state IN ({_ENDED})) THEN max(finished_at) END AS finished_at,
               max(updated_at) AS updated_at
        FROM jobs WHERE workflow_id IS NOT NULL GROUP BY tenant, workflow_id
    ) w LEFT JOIN LATERAL ({_CHAIN}) path ON true
"""  # noqa: S608 - names of our own

V1_WORKFLOWS = QueryView(
    "v1_workflows",
    _QUERY,
    {
        "tenant": "Who the workflow belongs to.",
        "workflow_id": "The workflow.",
        "state": "running: some job has not ended. Else failed: some job is dead, refused or expired. Else "
        "cancelled: some job is. Else succeeded.",
        "jobs": "Jobs of the workflow so far; running ones may add more.",
        "accepted": "Jobs taken in and not seen further on yet.",
        "waiting": "Jobs that wait: for parents, a time or their turn.",
        "held": "Jobs put on hold.",
        "queued": "Jobs in a bucket, not claimed.",
        "running": "Jobs that run.",
        "retrying": "Jobs between two attempts.",
        "succeeded": "Jobs that succeeded.",
        "dead": "Jobs that will not be tried again.",
        "cancelled": "Jobs that were cancelled.",
        "expired": "Jobs that were not started in time.",
        "skipped": "Jobs skipped because a parent ended without success.",
        "refused": "Jobs that could not be carried further.",
        "progress": "Share of the jobs that have ended, 0 to 1.",
        "critical_path_s": "Run time along the chain of jobs that decided how long it took, seconds: from "
        "the job that ended last back over the parent that ended last; null while none has run.",
        "submitted_at": "When the broker took the first of its jobs.",
        "started_at": "When the first of its jobs started.",
        "finished_at": "When the last of its jobs ended; null while one has not.",
        "updated_at": "When the latest record about one of its jobs was appended.",
    },
    "One row a workflow. Stable: columns are only ever added, at the end.",
)
