"""``penstock submit``: one job, many alike, or a file of jobs."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from penstock.cli import submit_options as options
from penstock.cli.connect import DataOption, connections
from penstock.cli.console import JsonOption, command, fail, say, show_json, show_table
from penstock.cli.job_input import checked, jobs_of_lines, read_labels, read_lines, read_payload
from penstock.client import Client, Job, JobRow, SubmittedRef

IDS_SHOWN_MAX = 10


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("submit")(submit)


@command
async def submit(
    type_: options.Type = None,
    payload: options.Payload = None,
    count: options.Count = 1,
    file: options.File = None,
    tenant: options.Tenant = None,
    job_id: options.JobId = None,
    idempotency_key: options.IdempotencyKey = None,
    priority: options.Priority = None,
    run_at: options.RunAt = None,
    deadline: options.Deadline = None,
    expires_at: options.ExpiresAt = None,
    time_limit: options.TimeLimit = None,
    max_attempts: options.MaxAttempts = None,
    pool: options.Pool = None,
    ordering_key: options.OrderingKey = None,
    on_busy: options.OnBusy = None,
    sensitive: options.Sensitive = None,
    label: options.Label = None,
    traceparent: options.Traceparent = None,
    wait: options.Wait = False,
    wait_timeout: options.WaitTimeout = None,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Submit jobs.

    One of TYPE with --payload, --count of them, or --file with one a line as JSON. Every job is checked
    before the first is sent. Exit code 1 with --wait when one did not succeed.
    """
    given = {
        "type": type_,
        "tenant": tenant,
        "job_id": job_id,
        "idempotency_key": idempotency_key,
        "priority": priority,
        "run_at": run_at,
        "deadline": deadline,
        "expires_at": expires_at,
        "timeout_s": None if time_limit is None else time_limit.total_seconds(),
        "max_attempts": max_attempts,
        "pool": pool,
        "ordering_key": ordering_key,
        "on_busy": on_busy,
        "sensitive": sensitive or None,
        "labels": read_labels(label or ()) or None,
    }
    members = {name: value for name, value in given.items() if value is not None}
    if payload is not None:
        members["payload"] = read_payload(payload)
    jobs = _traced(_jobs(members, count, file), traceparent)
    limit_s = None if wait_timeout is None else wait_timeout.total_seconds()
    async with connections(data).client() as client:
        await _submit(client, jobs, wait=wait or limit_s is not None, limit_s=limit_s, as_json=as_json)


def _traced(jobs: list[Job], traceparent: str | None) -> list[Job]:
    return jobs if traceparent is None else [{**job, "traceparent": traceparent} for job in jobs]


def _jobs(given: dict[str, Any], count: int, file: Path | None) -> list[Job]:
    if file is not None:
        if count != 1:
            raise typer.BadParameter("--count and --file are given together; use one of them")
        return list(jobs_of_lines(read_lines(file), given))
    if "type" not in given:
        raise typer.BadParameter("name the TYPE of the job, or read jobs with --file")
    if count > 1 and ("job_id" in given or "idempotency_key" in given):
        raise typer.BadParameter(
            "--count with --job-id or --idempotency-key would be one job submitted many times"
        )
    return [checked(given)] * count


async def _submit(
    client: Client, jobs: Sequence[Job], *, wait: bool, limit_s: float | None, as_json: bool
) -> None:
    started_s = time.monotonic()
    refs = await client.submit_many(jobs)
    took_s = time.monotonic() - started_s
    if not wait:
        if as_json:
            show_json([_ref_members(ref) for ref in refs])
        else:
            _show_refs(refs, took_s)
        return
    if not as_json:
        _show_refs(refs, took_s)
    rows = await client.wait_all(refs, limit_s)
    if as_json:
        show_json([{**_ref_members(ref), **_end(row)} for ref, row in zip(refs, rows, strict=True)])
    else:
        _show_ends(rows)
    failed = sum(row.state != "succeeded" for row in rows)
    if failed:
        fail(f"{failed} of {len(rows)} jobs did not succeed")


def _ref_members(ref: SubmittedRef) -> dict[str, Any]:
    return {
        "job_id": ref.job_id,
        "partition": ref.origin.partition,
        "offset": ref.origin.offset,
        "timestamp_ms": ref.timestamp_ms,
    }


def _end(row: JobRow) -> dict[str, Any]:
    return {
        "state": row.state,
        "result": row.result,
        "error_class": row.error_class,
        "error_message": row.error_message,
    }


def _show_refs(refs: Sequence[SubmittedRef], took_s: float) -> None:
    for ref in refs[:IDS_SHOWN_MAX]:
        say(ref.job_id)
    if len(refs) > IDS_SHOWN_MAX:
        say(f"... and {len(refs) - IDS_SHOWN_MAX} more; {len(refs)} jobs submitted in {took_s:.2f} s")


def _show_ends(rows: Sequence[JobRow]) -> None:
    if len(rows) > IDS_SHOWN_MAX:
        show_table(("state", "jobs"), sorted(Counter(row.state for row in rows).items()))
        return
    show_table(
        ("job", "state", "attempt", "result", "error"),
        [(row.job_id, row.state, row.attempt, row.result, row.error_message) for row in rows],
    )
