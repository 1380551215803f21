"""What ``penstock why`` promises of starts, and what it costs: ``python -m benchmarks.why starts|table``.

``starts``: a pipeline of its own runs a backlog of jobs whose run times are log-normal; of some that are
queued it is asked when they start, and later compared with when they did.
``table``: the questions to the state table, with so many jobs queued and as many ended; no pipeline, the
rows are made in the database.
"""

import argparse
import asyncio
import json
import math
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import dict_row

from adapters.postgres.migrate import upgrade
from benchmarks.machine import data_directory
from benchmarks.pipeline import BenchmarkError, Pipeline, running
from benchmarks.tasks import SLEEP
from core.expected_start import ExpectedStart
from core.priority import PriorityRule
from penstock.cli import why_rows
from penstock.cli.connect import Connections
from penstock.cli.queries import Database, connected, one_job
from penstock.cli.why_ask import Asker
from penstock.cli.why_queue import lanes_before
from penstock.client import Client
from penstock.client.submission import Job
from penstock.connection import DatabaseConnection

POLL_S = 0.5
TIMEOUT_S = 900.0

_STATES = "SELECT state, count(*) AS jobs FROM jobs WHERE job_id = ANY(%s::uuid[]) GROUP BY state"
_CLAIMED = "SELECT claimed_at FROM job_attempts WHERE job_id = %s::uuid AND n = 1"
_FILL = """
INSERT INTO jobs (job_id, tenant, type, pool, state, state_rank, priority, bucket, head_start_s, score_parts,
                  predicted_run_s, model_version, payload, payload_bytes, labels, origin_epoch,
                  origin_partition, origin_offset, submitted_at, ready_at, queued_at, queued_dispatch,
                  started_at, finished_at, dispatch, run_s, updated_at, max_attempts)
SELECT gen_random_uuid(), 'tenant-' || n %% 50, 'type-' || n %% 20, 'default', %(state)s, 18, 5, n %% 8,
       1200, '{"cost": 1200, "urgency": 0}', 0.25 * 4 ^ (n %% 8), 'rule',
       '{"n": 1, "text": "a payload of a usual size, which is not very much"}', 60, '{}', 'e', n %% 4, n,
       at, at, at, 1, ended - interval '1 s', ended, 1, extract(epoch FROM ended - at) - 1, at, 5
FROM (SELECT n, at, CASE WHEN %(state)s = 'succeeded' THEN at + interval '2 s' END AS ended
      FROM (SELECT n, %(begin)s::timestamptz + n * interval '1 ms' AS at
            FROM generate_series(%(first)s::bigint, %(last)s::bigint) n) numbered) made
"""
_FILL_ATTEMPTS = """
INSERT INTO job_attempts (job_id, n, attempt, claimed_at, started_at, finished_at, outcome, run_s)
SELECT job_id, 1, 1, started_at, started_at, finished_at, 'succeeded', run_s FROM jobs
WHERE state = 'succeeded'
"""


class Asked(NamedTuple):
    """What was expected of a job, and when it was asked."""

    job_id: str
    at: datetime
    position: int
    start: ExpectedStart
    took_s: float


async def starts(options: argparse.Namespace) -> dict[str, Any]:
    """Ask of jobs of a backlog when they start, and see when they do."""
    async with _own_pipeline(options) as pipeline:
        draw = random.Random(options.seed)
        where = Connections(pipeline.kafka, pipeline.database, pipeline.names)
        async with Client(kafka=pipeline.kafka, names=pipeline.names) as client:
            # Enough of them that the scores know how long such jobs take.
            warm = await _submit(client, options, draw, options.jobs // 4)
            await _until(where, warm, "succeeded")
            backlog = await _submit(client, options, draw, options.jobs)
        asked = [one for one in [await _ask(where, job_id) for job_id in _some(backlog, options)] if one]
        await _until(where, backlog, "succeeded")
        claimed = [await _claimed_at(where, one.job_id) for one in asked]
    return _judged(asked, claimed)


def _some(backlog: Sequence[str], options: argparse.Namespace) -> list[str]:
    """Give jobs to ask of, from all over the later three quarters, in any order."""
    later = backlog[len(backlog) // 4 :]
    return random.Random(options.seed).sample(later, min(options.ask, len(later)))


def _judged(asked: Sequence[Asked], claimed: Sequence[datetime]) -> dict[str, Any]:
    waits_s = [(at - one.at).total_seconds() for one, at in zip(asked, claimed, strict=True)]
    pairs = [(one, wait_s) for one, wait_s in zip(asked, waits_s, strict=True) if wait_s > 0]
    if not pairs:
        raise BenchmarkError("every job had started before it was asked of: take more jobs or fewer slots")
    within = [one.start.low_s <= wait_s <= one.start.high_s for one, wait_s in pairs]
    errors_s = [abs(one.start.point_s - wait_s) for one, wait_s in pairs]
    widths_s = [one.start.high_s - one.start.low_s for one, _ in pairs]
    return {
        "asked": len(pairs),
        "within": sum(within),
        "share": round(sum(within) / len(pairs), 3),
        "early": sum(wait_s < one.start.low_s for one, wait_s in pairs),
        "late": sum(wait_s > one.start.high_s for one, wait_s in pairs),
        "median_wait_s": round(statistics.median(wait_s for _, wait_s in pairs), 2),
        "median_error_s": round(statistics.median(errors_s), 2),
        "median_width_s": round(statistics.median(widths_s), 2),
        "each": [
            {"position": one.position, "expected_s": [round(s, 2) for s in one.start], "s": round(wait_s, 2)}
            for one, wait_s in pairs
        ],
        "median_answer_s": round(statistics.median(one.took_s for one, _ in pairs), 2),
    }


async def _submit(client: Client, options: argparse.Namespace, draw: random.Random, count: int) -> list[str]:
    spread = options.spread
    # The mean of a log-normal is exp(mu + sigma**2 / 2).
    mu = math.log(options.mean_s) - spread * spread / 2
    jobs: list[Job] = [
        {"type": SLEEP, "payload": {"s": draw.lognormvariate(mu, spread)}} for _ in range(count)
    ]
    return [ref.job_id for ref in await client.submit_many(jobs)]


async def _ask(where: Connections, job_id: str) -> Asked | None:
    """Give what is expected of a job; None when it runs already."""
    began_s = time.monotonic()
    async with connected(where.database) as database:
        row = await one_job(database, job_id)
        if row is None or row["state"] != "queued":
            return None
        known = await Asker(where, database, row).known()
    view = known.queue
    if view is None or view.start is None:
        raise BenchmarkError(f"nothing is expected of {job_id}: {known.not_known}")
    return Asked(job_id, known.now, view.before + 1, view.start, time.monotonic() - began_s)


async def _until(where: Connections, job_ids: list[str], state: str) -> None:
    until_s = time.monotonic() + TIMEOUT_S
    async with connected(where.database) as database:
        while True:
            rows = await (await database.execute(_STATES, [job_ids])).fetchall()
            if {row["state"]: row["jobs"] for row in rows} == {state: len(job_ids)}:
                return
            if time.monotonic() > until_s:
                raise BenchmarkError(f"not all jobs are {state} in time: {rows}")
            await asyncio.sleep(POLL_S)


async def _claimed_at(where: Connections, job_id: str) -> datetime:
    async with connected(where.database) as database:
        row = await (await database.execute(_CLAIMED, [job_id])).fetchone()
    assert row is not None
    claimed: datetime = row["claimed_at"]
    return claimed


async def table(options: argparse.Namespace) -> dict[str, Any]:
    """Time the questions about the last job of a full table."""
    async with _own_pipeline(options) as pipeline:
        await asyncio.to_thread(_fill, pipeline.database, options.jobs)
        async with connected(pipeline.database) as database:
            return await _timed(database, options)


def _fill(database: DatabaseConnection, jobs: int) -> None:
    upgrade(database)
    begin = datetime.now(UTC) - timedelta(milliseconds=2 * jobs)
    with psycopg.connect(database.conninfo, autocommit=True, row_factory=dict_row) as connection:
        for state, first in (("succeeded", 0), ("queued", jobs)):
            span = {"state": state, "begin": begin, "first": first, "last": first + jobs - 1}
            connection.execute(_FILL, span)
        connection.execute(_FILL_ATTEMPTS)
        connection.execute("VACUUM ANALYZE jobs")
        connection.execute("ANALYZE job_attempts")


async def _timed(database: Database, options: argparse.Namespace) -> dict[str, Any]:
    last = (
        "SELECT job_id::text FROM jobs WHERE state = 'queued' AND bucket = 7 ORDER BY ready_at DESC LIMIT 1"
    )
    row = await (await database.execute(last)).fetchone()
    assert row is not None
    job = await one_job(database, row["job_id"])
    assert job is not None
    heads_sql = "SELECT bucket, min(ready_at) AS head FROM jobs WHERE state = 'queued' GROUP BY bucket"
    heads = {one["bucket"]: one["head"] for one in await (await database.execute(heads_sql)).fetchall()}
    found: dict[str, Any] = {"queued": options.jobs, "ended": options.jobs}
    lanes = lanes_before(job, heads, PriorityRule().per_decade_s)
    questions = {
        "ahead": why_rows.ahead_question(job, lanes),
        "recent": why_rows.taken_question("default", heads),
        "arrivals": why_rows.arrivals_question("default", range(7), job["ready_at"]),
    }
    for name, question in questions.items():
        times_s = []
        for _ in range(options.rounds):
            began_s = time.monotonic()
            rows = await why_rows.answer(database, question)
            times_s.append(time.monotonic() - began_s)
        found[f"{name}_s"] = [round(took_s, 3) for took_s in times_s]
        if name == "ahead":
            found["counted"] = sum(one["jobs"] for one in rows)
    return found


@asynccontextmanager
async def _own_pipeline(options: argparse.Namespace) -> AsyncIterator[Pipeline]:
    slots = {"PENSTOCK_WORKERS": "1", "PENSTOCK_SLOTS": str(options.slots)}
    with data_directory("why") as data:
        async with running(data, settings=slots, executors=options.executors) as pipeline:
            yield pipeline


def main() -> None:
    """Print one JSON object; exit code 1 when nothing could be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.why", description=__doc__)
    parser.add_argument("what", choices=["starts", "table"])
    parser.add_argument("--jobs", type=int, default=800, metavar="N")
    parser.add_argument("--ask", type=int, default=40, metavar="N", help="of so many jobs")
    parser.add_argument("--executors", type=int, default=1, metavar="N")
    parser.add_argument("--slots", type=int, default=8, metavar="N", help="of one executor")
    parser.add_argument("--mean-s", type=float, default=0.5, metavar="S")
    parser.add_argument("--spread", type=float, default=0.8, metavar="SIGMA", help="of log run times")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    options = parser.parse_args()
    try:
        work = {"starts": starts, "table": table}[options.what]
        print(json.dumps(asyncio.run(work(options)), indent=1))
    except BenchmarkError as error:
        sys.exit(f"benchmarks.why: {error}")


if __name__ == "__main__":
    main()
