"""A clean run as the demo's verification sees it, and one planted violation for every check."""

from collections.abc import Callable
from dataclasses import replace

from penstock.demo.effects import Effect, Effects
from penstock.demo.evidence import Evidence, JobRow, LoggedJob, Position
from penstock.demo.plan import Ending


def job(job_id: str, number: int, ending: Ending = Ending.SUCCEEDED, *, keyed: bool = False) -> LoggedJob:
    return LoggedJob(job_id, number, "email.send", ending, keyed, 2 if keyed else 1)


def row(job_id: str, number: int, state: str = "succeeded") -> JobRow:
    dead = state == "dead"
    return JobRow(
        job_id=job_id,
        number=number,
        type="email.send",
        state=state,
        succeeded_dispatch=None if dead else 1,
        error_class="permanent" if dead else None,
        error_message="no such address" if dead else None,
        submitted_ms=1_000,
        ready_ms=1_100,
        started_ms=1_300,
        finished_ms=3_000,
        attempt=1,
    )


def ran(job_id: str, start_at: float, end_at: float, dispatch: int = 1, outcome: str = "ok") -> list[Effect]:
    return [
        Effect(job_id, dispatch, 1, "start", start_at, 9),
        Effect(job_id, dispatch, 1, "end", end_at, 9, outcome),
    ]


def with_effects(evidence: Evidence, *more: Effect) -> Evidence:
    return replace(evidence, effects=Effects((*evidence.effects.lines, *more), 0))


def with_row(evidence: Evidence, changed: JobRow) -> Evidence:
    return replace(evidence, rows={**evidence.rows, changed.job_id: changed})


A, B, C, BAD = Position(0, 10), Position(1, 4), Position(0, 11), Position(2, 7)

CLEAN = Evidence(
    jobs={"a": job("a", 0), "b": job("b", 1, Ending.DEAD), "c": job("c", 2, keyed=True)},
    malformed=frozenset({BAD}),
    acknowledged={0: A, 1: B, 2: C, 3: BAD},
    found={0: frozenset({A}), 1: frozenset({B}), 2: frozenset({C}), 3: frozenset({BAD})},
    unsent=(),
    rejected={BAD: "not_json: no JSON"},
    rows={"a": row("a", 0), "b": row("b", 1, "dead"), "c": row("c", 2)},
    effects=Effects((*ran("a", 1, 2), *ran("b", 1, 2, outcome="PermanentError"), *ran("c", 1, 2)), 0),
    table_differences=(),
)


PLANTED: dict[str, tuple[str, Callable[[Evidence], Evidence]]] = {
    "an acknowledged record is not in the log": (
        "every submission is in the log",
        lambda e: replace(e, found={**e.found, 0: frozenset()}),
    ),
    "a submission never reached the log": (
        "every submission is in the log",
        lambda e: replace(e, unsent=(9,)),
    ),
    "a job still runs": (
        "every job is terminal",
        lambda e: with_row(e, row("a", 0)._replace(state="running", succeeded_dispatch=None)),
    ),
    "a job is not in the table": (
        "every job is terminal",
        lambda e: replace(e, rows={k: v for k, v in e.rows.items() if k != "a"}),
    ),
    "a row differs from the fold": (
        "the table equals a fresh fold of the ledger",
        lambda e: replace(e, table_differences=("jobs/a: state",)),
    ),
    "the table could not be compared": (
        "the table equals a fresh fold of the ledger",
        lambda e: replace(e, table_differences=None, table_problem="behind"),
    ),
    "a dispatch was started again": (
        "no dispatch ran twice",
        lambda e: with_effects(e, Effect("a", 1, 1, "start", 5.0, 10)),
    ),
    "a second dispatch began before the first had ended": (
        "no two dispatches of a job overlap",
        lambda e: with_effects(e, *ran("a", 1.5, 3, dispatch=2)),
    ),
    "a succeeded job has no good end": (
        "every succeeded job did its work",
        lambda e: replace(e, effects=Effects(e.effects.lines[2:], 0)),
    ),
    "the dispatch that succeeded is another one": (
        "every succeeded job did its work",
        lambda e: with_row(e, row("a", 0)._replace(succeeded_dispatch=2)),
    ),
    "the table names no dispatch that succeeded": (
        "every succeeded job did its work",
        lambda e: with_row(e, row("a", 0)._replace(succeeded_dispatch=None)),
    ),
    "work that succeeds is dead of a permanent error": (
        "every job ended as its work says",
        lambda e: with_row(e, row("a", 0, "dead")),
    ),
    "a malformed record was not rejected": (
        "rejected is exactly what was malformed",
        lambda e: replace(e, rejected={}),
    ),
    "a job was rejected": (
        "rejected is exactly what was malformed",
        lambda e: replace(e, rejected={**e.rejected, A: "unknown_pool: no"}),
    ),
    "a job ran that nobody submitted": (
        "nothing ran that was not submitted",
        lambda e: with_effects(e, *ran("x", 1, 2)),
    ),
    "a row of the run belongs to no submission": (
        "nothing ran that was not submitted",
        lambda e: with_row(e, row("x", 77)),
    ),
    "a line of the effects cannot be read": (
        "nothing ran that was not submitted",
        lambda e: replace(e, effects=Effects(e.effects.lines, 1)),
    ),
    "a dead letter has no reason": (
        "every dead letter has a reason",
        lambda e: with_row(e, row("b", 1, "dead")._replace(error_message=None)),
    ),
}
