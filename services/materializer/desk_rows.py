"""From records of ``desk`` to what the tables of the dead-letter desk are to show. Pure."""

import uuid
from collections.abc import Iterable

from core.log import Record
from ports.desk_table import DeskActRow, DeskEndRow, DeskLetterRow, DeskRows
from schemas.desk import ActBegun, ActEnded, LettersTreated, read_desk_record

N_MAX = 2**31 - 1
"""Largest dispatch number the table can hold."""


def desk_rows(records: Iterable[Record]) -> DeskRows:
    """Give a row an act, a row a letter of it, and how it ended."""
    rows = DeskRows([], [], [])
    for record in records:
        match read_desk_record(record):
            case ActBegun() as act:
                rows.acts.append(_act(act, record.timestamp_ms))
            case LettersTreated(act, what, letters):
                rows.letters.extend(
                    DeskLetterRow(act, letter.job_id, letter.n, what.value, record.timestamp_ms)
                    for letter in letters
                    if _is_id(letter.job_id) and 0 < letter.n <= N_MAX
                )
            case ActEnded(act, outcome, words):
                rows.ends.append(DeskEndRow(act, outcome.value, words or None, record.timestamp_ms))
            case None:
                pass
    return rows


def _act(act: ActBegun, said_ms: int) -> DeskActRow:
    return DeskActRow(
        act.act,
        act.what.value,
        said_ms,
        act.by,
        act.filter or None,
        act.reason or None,
        min(act.found, N_MAX),
        act.rate_per_s,
        act.edit or None,
    )


def _is_id(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
