"""What a table says beside what a fresh fold of the ledger says, as far as the ledger still goes back."""

from collections.abc import Mapping
from typing import NamedTuple

from core.rows import JOB_GROUPS, Group, Tie
from penstock.identity import home

Image = dict[str, dict[str, object]]
"""Rows in normal form, what is not null of each: ``jobs/ID``, ``job_attempts/ID/N``, ``job_logs/ID/N/SEQ``,
``job_scores/ID/N``, ``retry_decisions/ID/N``.

Times are milliseconds since 1970, ids text, JSON parsed with exact numbers.
"""

MARGIN_MS = 60_000
"""What the clocks of two brokers may differ by: a job submitted so soon after a ledger's first record is
still taken for one whose first records may be trimmed."""


class KnownFrom(NamedTuple):
    """Where a trimmed ledger partition begins."""

    offset: int
    first_ms: int | None
    """Broker time of its first record; None when it has none."""

    def has_all_of(self, submitted_ms: object) -> bool:
        """Whether every record about a job stands behind: it was submitted after the first of them."""
        if self.first_ms is None or not isinstance(submitted_ms, int):
            return False
        return submitted_ms > self.first_ms + MARGIN_MS


class Compared(NamedTuple):
    """What comparing has shown."""

    differences: list[str]
    """The first ones, one line each; none: they agree."""
    in_part: int
    """Rows of which the older records are trimmed: compared in what the rest says."""
    left_out: int
    """Rows of the table of which all records are trimmed."""

    @property
    def omission(self) -> str:
        """Say what was not compared; empty when everything was."""
        if not self.in_part and not self.left_out:
            return ""
        return (
            f"the ledger was trimmed: {self.left_out} rows older than it were not compared, "
            f"{self.in_part} only in what its records say"
        )


def compare(
    expected: Image, known_from: Mapping[int, KnownFrom], found: Image, partitions: int, limit: int = 20
) -> Compared:
    """Compare a fresh fold with the table.

    A job all of whose records stand in the ledger must be the same in both. Of one that is older,
    what the ledger still says must show in its rows; what it no longer says is kept and not judged.

    Parameters
    ----------
    known_from
        Ledger partitions whose first records are trimmed.
    partitions
        Of the ledger.
    """
    lines: list[str] = []
    in_part = left_out = 0
    for name in sorted(expected.keys() | found.keys()):
        mine, theirs = expected.get(name), found.get(name)
        if _is_whole(name, expected, known_from, found, partitions):
            said = _row_difference(name, mine, theirs) if mine != theirs else []
        elif mine is None:
            left_out += 1
            continue
        else:
            in_part += 1
            said = (
                _row_difference(name, mine, None) if theirs is None else _contradictions(name, mine, theirs)
            )
        if len(lines) < limit:
            lines.extend(said)
    return Compared(lines[:limit], in_part, left_out)


def difference(expected: Image, found: Image, limit: int = 20) -> list[str]:
    """Name the first differences, one line each; none: they are equal.

    Parameters
    ----------
    expected
        The fresh fold.
    found
        The table.
    limit
        Most lines to give.
    """
    lines: list[str] = []
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            lines.extend(_row_difference(name, expected.get(name), found.get(name)))
        if len(lines) >= limit:
            break
    return lines[:limit]


def _row_difference(
    name: str, expected: dict[str, object] | None, found: dict[str, object] | None
) -> list[str]:
    if found is None:
        return [f"{name}: the log has it, the table has not"]
    if expected is None:
        return [f"{name}: the table has it, the log has not"]
    return [
        f"{name}: {column} is {found.get(column)!r}, the log says {expected.get(column)!r}"
        for column in sorted(expected.keys() | found.keys())
        if expected.get(column) != found.get(column)
    ]


def _is_whole(
    name: str, expected: Image, known_from: Mapping[int, KnownFrom], found: Image, partitions: int
) -> bool:
    if not known_from:
        return True
    job_id = name.split("/")[1]
    known = known_from.get(home(job_id, partitions))
    if known is None:
        return True
    job = f"jobs/{job_id}"
    submitted = expected.get(job, {}).get("submitted_at", found.get(job, {}).get("submitted_at"))
    return known.has_all_of(submitted)


def _contradictions(name: str, expected: dict[str, object], found: dict[str, object]) -> list[str]:
    """Name what later records said and the row does not show; earlier ones may have said more."""
    if name.startswith(("job_logs/", "job_scores/", "retry_decisions/")):
        return []
    groups = JOB_GROUPS if name.startswith("jobs/") else ()
    guarded = {column for group in groups for column in (group.key, *group.columns)}
    said = {column: value for column, value in expected.items() if column not in guarded}
    for group in groups:
        said |= _must_show(group, expected, found)
    shown = {column: found[column] for column in said if column in found}
    return _row_difference(name, said, shown) if said != shown else []


def _must_show(group: Group, expected: dict[str, object], found: dict[str, object]) -> dict[str, object]:
    """Give what of a group's columns the row must show."""
    new, old = expected.get(group.key), found.get(group.key)
    if new is None or _number(old) > _number(new):
        return {}
    if old == new and group.tie is not Tie.REPLACE:
        return {}
    return {column: expected[column] for column in (group.key, *group.columns) if column in expected}


def _number(key: object) -> float:
    return key if isinstance(key, int | float) else -1
