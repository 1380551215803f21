"""Questions of the dead-letter desk to the tables."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, LiteralString, NamedTuple

from core.desk import Candidate, End
from penstock.cli.dlq_filter import LETTER_CONDITION, SIGNATURE, LetterFilter
from penstock.cli.queries import Database

EVIDENCE_DAYS = 30
"""Failures that ended longer ago say nothing about how fixable a kind is: what was wrong then is mended."""

_FROM: LiteralString = """
    FROM jobs j
    JOIN LATERAL (
        SELECT * FROM job_attempts a WHERE a.job_id = j.job_id ORDER BY a.n DESC LIMIT 1
    ) l ON l.decision = 'dead'
    LEFT JOIN LATERAL (
        SELECT true AS dropped FROM desk_letters d
        WHERE d.job_id = j.job_id AND d.n = l.n AND d.what = 'drop' LIMIT 1
    ) settled ON true
"""
_LETTERS: LiteralString = (
    "SELECT j.job_id::text AS job_id, l.n, l.decided_at AS dead_at, "  # noqa: S608 - our own text
    + SIGNATURE
    + " AS signature, coalesce(settled.dropped, false) AS dropped, "
    "(SELECT count(*) FROM job_attempts r "
    "WHERE r.job_id = j.job_id AND r.decision = 'dead' AND r.n < l.n) AS redrives "
    + _FROM
    + "WHERE "
    + LETTER_CONDITION
    + "ORDER BY l.decided_at, j.job_id"
)
_GROUPS: LiteralString = (
    "SELECT " + SIGNATURE + " AS signature, count(*) AS count, min(l.decided_at) AS first_dead_at, "
    "max(l.decided_at) AS last_dead_at, array_agg(DISTINCT j.type) AS types, "
    "array_agg(DISTINCT j.tenant) AS tenants, "
    "min(l.error_class) AS error_class, min(l.error_type) AS error_type, "
    "(array_agg(l.error_message ORDER BY l.decided_at, j.job_id))[1] AS message, "
    "(array_agg(j.job_id::text ORDER BY l.decided_at, j.job_id))[1] AS example, "
    "(array_agg(l.dlq_offset ORDER BY l.decided_at, j.job_id))[1] AS example_offset, "
    "(array_agg(j.origin_epoch ORDER BY l.decided_at, j.job_id))[1] AS example_epoch " + _FROM + "WHERE "
    "settled.dropped IS NULL AND " + LETTER_CONDITION + "GROUP BY 1 ORDER BY count(*) DESC, 1"
)
_NAMED: LiteralString = (
    "SELECT signature, error_class, error_type, template, location FROM signatures "
    "WHERE signature = ANY(%(signatures)s)"
)
_FIXED: LiteralString = (
    "SELECT w.signature, w.was_dead, count(*) FILTER (WHERE j.state = 'succeeded') AS succeeded, "  # noqa: S608 - our own text
    "count(*) AS ended FROM (SELECT l.job_id, "
    + SIGNATURE
    + " AS signature, bool_or(l.decision = 'dead') AS was_dead FROM job_attempts l "
    "WHERE l.outcome IN ('failed', 'lost') AND l.finished_at > now() - make_interval(days => %(days)s) "
    "AND EXISTS (SELECT 1 FROM job_attempts later WHERE later.job_id = l.job_id AND later.n > l.n) "
    "GROUP BY 1, 2) w JOIN jobs j USING (job_id) "
    "WHERE j.state IN ('succeeded', 'dead') AND w.signature = ANY(%(signatures)s) GROUP BY 1, 2"
)
_ENDS: LiteralString = (
    "SELECT w.job_id::text AS job_id, f.outcome, f.signature = w.signature AS returned "  # noqa: S608 - our own text
    "FROM unnest(%(ids)s::uuid[], %(ns)s::int[], %(signatures)s::text[]) AS w(job_id, n, signature) "
    "JOIN jobs j USING (job_id) LEFT JOIN LATERAL (SELECT l.outcome, l.finished_at, "
    + SIGNATURE
    + " AS signature FROM job_attempts l WHERE l.job_id = w.job_id AND l.n > w.n "
    "AND (l.outcome = 'succeeded' OR l.outcome <> 'released' AND l.decision IS NOT NULL) "
    "ORDER BY l.n LIMIT 1) f ON true "
    "WHERE f.outcome IS NOT NULL OR j.state IN ('cancelled', 'expired', 'skipped', 'refused') "
    "ORDER BY f.finished_at"
)
_ACTS: LiteralString = "SELECT * FROM v1_desk_acts ORDER BY said_at DESC, act DESC LIMIT %(limit)s"
_FOLLOWED: LiteralString = (
    "SELECT next_offset FROM stage_offsets WHERE stage = 'desk' AND epoch = %(epoch)s AND partition = 0"
)


class FoundLetter(NamedTuple):
    """A dead letter as the tables know it."""

    candidate: Candidate
    signature: str
    dead_at: datetime | None


async def letters_meeting(database: Database, wanted: LetterFilter) -> list[FoundLetter]:
    """Give the dead letters that meet a filter, settled ones too; the oldest first."""
    rows = await _ask(database, _LETTERS, wanted.parameters())
    return [
        FoundLetter(
            Candidate(row["job_id"], row["n"], row["redrives"], row["dropped"]),
            row["signature"],
            row["dead_at"],
        )
        for row in rows
    ]


async def groups_meeting(database: Database, wanted: LetterFilter) -> list[dict[str, Any]]:
    """Group the dead letters that meet a filter and are not settled; the largest group first."""
    return await _ask(database, _GROUPS, wanted.parameters())


async def named_signatures(database: Database, signatures: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Give what is known of signatures, by signature."""
    rows = await _ask(database, _NAMED, {"signatures": list(signatures)})
    return {row["signature"]: row for row in rows}


async def tried_again(
    database: Database, signatures: Sequence[str]
) -> dict[tuple[str, bool], tuple[int, int]]:
    """Count jobs that were tried again and have ended: those that succeeded, and all.

    By signature, and whether they had died (and were redriven) or not (and were retried).
    """
    rows = await _ask(database, _FIXED, {"signatures": list(signatures), "days": EVIDENCE_DAYS})
    return {(row["signature"], row["was_dead"]): (row["succeeded"], row["ended"]) for row in rows}


async def ends_of(database: Database, out: Sequence[FoundLetter]) -> dict[str, End]:
    """Say how redriven jobs ended whose first attempt since then has; in the order they did."""
    rows = await _ask(
        database,
        _ENDS,
        {
            "ids": [one.candidate.job_id for one in out],
            "ns": [one.candidate.n for one in out],
            "signatures": [one.signature for one in out],
        },
    )
    return {row["job_id"]: _end(row) for row in rows}


def _end(row: dict[str, Any]) -> End:
    if row["outcome"] == "succeeded":
        return End.SUCCEEDED
    return End.RETURNED if row["returned"] else End.OTHERWISE


async def newest_acts(database: Database, limit: int) -> list[dict[str, Any]]:
    """Give what was done at the desk; the newest first."""
    return await _ask(database, _ACTS, {"limit": limit})


async def followed_until(database: Database, epoch: str) -> int:
    """Give the offset up to which the tables show the topic ``desk``."""
    rows = await _ask(database, _FOLLOWED, {"epoch": epoch})
    return int(rows[0]["next_offset"]) if rows else 0


async def _ask(database: Database, sql: LiteralString, parameters: Any) -> list[dict[str, Any]]:
    cursor = await database.execute(sql, parameters)
    return await cursor.fetchall()
