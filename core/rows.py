"""The row of a job: the merge of everything the ledger says about it, in offset order.

One rule for a database and for a dictionary: ``adapters.postgres.upsert`` writes the same merge in
SQL from the same ``JOB_GROUPS``. A property test runs both on the same events.

The merge is associative: patches may be merged into a row one by one, or first with each other in
batches of any size. It is not commutative: patches come in the order of the ledger, each once.
"""

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple, Protocol

from core.ledger.notes import Note
from core.ledger.outcome import Outcome
from core.ledger.verdicts import Verdict
from core.states import State

Value = str | int | float
Row = dict[str, Value]
"""Column to value; a column that is absent is null. Times are milliseconds since 1970, ids and JSON text."""

ROWS_VERSION = 1
"""Grows whenever rows say more of the same events than before: then what an older version wrote meanwhile is
written again. A patch that is merged once more, and all after it again in order, changes nothing else."""
JSON_COLUMNS = frozenset({"payload", "result", "labels", "score_parts", "depends_on", "context"})
"""Columns whose text is JSON: two texts are the same value when they parse to the same."""


class Folded(Protocol):
    """One ledger record with what the fold says of it (``schemas.ledger.FoldedEvent``)."""

    @property
    def partition(self) -> int:
        """Partition of the ledger."""
        ...

    @property
    def offset(self) -> int:
        """Offset in the ledger."""
        ...

    @property
    def timestamp_ms(self) -> int:
        """Broker time of the append."""
        ...

    @property
    def event(self) -> Verdict | Note:
        """What the record says."""
        ...

    @property
    def outcome(self) -> Outcome | None:
        """What the fold says of a verdict; None for a note."""
        ...


class Tie(Enum):
    """What happens to a group's columns when the new key equals the one in the row."""

    KEEP = "keep"
    """A repetition; it changes nothing."""
    FILL = "fill"
    """It may add what is still missing."""
    REPLACE = "replace"
    """The newest counts, missing values included."""


class Group(NamedTuple):
    """Columns that belong together and change together, guarded by a key that never falls.

    A patch with a larger key replaces all of them (to null where it says nothing); one with a
    smaller key leaves all of them alone.
    """

    key: str
    columns: tuple[str, ...]
    tie: Tie


STATE = Group("state_rank", ("state", "waiting_on", "due_at", "finished_at"), Tie.FILL)
"""Notes and verdicts climb one ladder (``core.states.progress_rank``), whenever they arrive."""
QUEUED = Group(
    "queued_dispatch",
    (
        "bucket",
        "head_start_s",
        "score_parts",
        "p_fail",
        "predicted_run_s",
        "model_version",
        "ready_at",
        "queued_at",
    ),
    Tie.KEEP,
)
PROGRESS = Group("progress_dispatch", ("progress", "progress_message"), Tie.REPLACE)
JOB_GROUPS = (STATE, QUEUED, PROGRESS)
"""Guarded columns of ``jobs``; every other column takes the newest value that is present."""
ATTEMPT_GROUPS: tuple[Group, ...] = ()


def merge(row: Row, patch: Row, groups: tuple[Group, ...] = JOB_GROUPS) -> None:
    """Merge ``patch`` into ``row``; the patch is used up (it may be changed or become the row's)."""
    for group in groups:
        new = patch.get(group.key)
        old = row.get(group.key)
        if new is not None and old is not None:
            _settle(row, patch, group, old=old, new=new)
    row.update(patch)


def _settle(row: Row, patch: Row, group: Group, *, old: Value, new: Value) -> None:
    """Make a plain update of ``row`` by ``patch`` do what the group's key asks for."""
    if _as_number(new) > _as_number(old):
        _drop(row, group.columns)
        return
    if new == old:
        match group.tie:
            case Tie.REPLACE:
                _drop(row, group.columns)
                return
            case Tie.FILL:
                _drop(patch, [column for column in group.columns if column in row])
                return
            case Tie.KEEP:
                pass
    _drop(patch, (*group.columns, group.key))


def _drop(row: Row, columns: Iterable[str]) -> None:
    for column in columns:
        row.pop(column, None)


def _as_number(key: Value) -> float:
    assert not isinstance(key, str)
    return key


def complete(row: Row) -> Row:
    """Give the row as a table shows it: a job nobody has said a state of is merely accepted."""
    return {"state": State.ACCEPTED.value, "state_rank": 0, **row}
