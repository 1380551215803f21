"""Questions about workflows to the state table, and their jobs in layers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from penstock.cli.queries import Database, Rows

_ONE = "SELECT * FROM v1_workflows WHERE workflow_id = %s AND tenant = %s"
_LIST = "SELECT * FROM v1_workflows ORDER BY submitted_at DESC NULLS LAST LIMIT %s"
_JOBS = """
SELECT job_id::text AS job_id, type, state, waiting_on, labels->>'step' AS step, depends_on, job_group,
       on_parent_failure, attempt, run_s, error_class, error_message, last_decision, origin_epoch,
       origin_partition, origin_offset
FROM jobs WHERE workflow_id = %s AND tenant = %s ORDER BY submitted_at, job_id
"""


async def one_workflow(database: Database, workflow_id: str, tenant: str) -> dict[str, Any] | None:
    """Give the row of a workflow, None when no job of it is known (yet)."""
    cursor = await database.execute(_ONE, [workflow_id, tenant])
    return await cursor.fetchone()


async def newest_workflows(database: Database, limit: int) -> Rows:
    """Give the workflows that were submitted last."""
    return await (await database.execute(_LIST, [limit])).fetchall()


async def jobs_of_workflow(database: Database, workflow_id: str, tenant: str) -> Rows:
    """Give the jobs of a workflow, the first submitted first."""
    return await (await database.execute(_JOBS, [workflow_id, tenant])).fetchall()


def layers_of(jobs: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Give the jobs in layers: each stands one below the lowest of those it depends on.

    Linear, without recursion. Jobs in a circle, and those that hang on it, come last, in a layer of
    their own.
    """
    below, waiting = _edges(jobs)
    depth = {vertex: 0 for vertex, left in waiting.items() if not left}
    order = list(depth)
    for vertex in order:
        for child in below.get(vertex, ()):
            waiting[child] -= 1
            step = 0 if vertex.startswith("group ") else 1
            depth[child] = max(depth.get(child, 0), depth[vertex] + step)
            if not waiting[child]:
                order.append(child)
    done = set(order)
    found: dict[int, list[Mapping[str, Any]]] = {}
    for job in jobs:
        place = depth[job["job_id"]] if job["job_id"] in done else len(order) + 1
        found.setdefault(place, []).append(job)
    return [found[place] for place in sorted(found)]


def _edges(jobs: Iterable[Mapping[str, Any]]) -> tuple[dict[str, list[str]], dict[str, int]]:
    """Give who depends on whom, and on how many each; a group stands between members and dependents."""
    known = {job["job_id"] for job in jobs}
    below: dict[str, list[str]] = {}
    waiting: dict[str, int] = dict.fromkeys(known, 0)
    for job in jobs:
        for parent in _parents(job, known):
            waiting.setdefault(parent, 0)
            below.setdefault(parent, []).append(job["job_id"])
            waiting[job["job_id"]] += 1
        if job["job_group"] is not None:
            group = f"group {job['job_group']}"
            waiting[group] = waiting.get(group, 0) + 1
            below.setdefault(job["job_id"], []).append(group)
    return below, waiting


def _parents(job: Mapping[str, Any], known: set[str]) -> list[str]:
    match job["depends_on"]:
        case list() as parents:
            return [parent for parent in dict.fromkeys(parents) if parent in known]
        case {"group": str() as group}:
            return [f"group {group}"]
        case _:
            return []
