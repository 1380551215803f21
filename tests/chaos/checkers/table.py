"""I5: the table is what the ledger says, however often any of it is said or read again."""

import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from adapters.postgres.comparison import Image, difference
from adapters.postgres.refold import image_of
from core.ledger.fold import LedgerFold
from core.ledger.verdicts import Cancel, Verdict
from core.rows_table import empty_table, gather
from penstock.identity import Origin
from schemas.ledger import FoldedEvent
from tests.chaos.audit import plain
from tests.chaos.case import Case
from tests.chaos.evidence import Evidence, Violation

_OFFSETS = ("verdict_offset", "claim_offset", "closure_offset")


def table_is_as_far_as_the_ledger(evidence: Evidence) -> Iterator[Violation]:
    """Ask that the table could be compared at all."""
    if evidence.table_problem:
        yield Violation("I5", "the table cannot be compared", evidence.table_problem)


def rows_are_the_fold(case: Case, evidence: Evidence) -> Iterator[Violation]:
    """Compare the rows of a job with a fresh fold of its ledger."""
    if evidence.table_problem:
        return
    for line in difference(image(case.events), case.rows, limit=3):
        yield Violation("I5", "the table differs from the fold of the ledger", line)


def repetition_changes_nothing(case: Case, evidence: Evidence) -> Iterator[Violation]:
    """Fold the job's own events again: as they are, each twice in a row, and a prefix twice over."""
    if not case.events or zlib.crc32(case.job_id.encode()) % evidence.samples:
        return
    once = image(_folded(case.events, spread=1))
    doubled = image(_folded([event for event in case.events for _ in range(2)], spread=2))
    cancels = {event.offset for event in case.events if isinstance(event.event, Cancel)}
    for line in difference(once, _halved(doubled, cancels), limit=1):
        yield Violation("I5", "the fold of every event doubled differs", line)
    cut = zlib.crc32(case.job_id.encode()[::-1]) % (len(case.events) + 1)
    again = image(_folded([*case.events[:cut], *case.events], spread=0))
    for line in difference(once, again, limit=1):
        yield Violation("I5", f"reading the first {cut} events twice differs", line)


def image(events: Iterable[FoldedEvent]) -> Image:
    """Fold events into rows, in the form in which cases hold the table's."""
    table = empty_table()
    gather(table, events)
    return {name: plain(row) for name, row in image_of(table).items()}


def _folded(events: Sequence[FoldedEvent], *, spread: int) -> Iterator[FoldedEvent]:
    """Fold one job's events alone.

    Parameters
    ----------
    spread
        1: at their own offsets. 2: every second one, the repetition behind the original. 0: at their
        own offsets, and what was read before is skipped as a reader that starts over skips it.
    """
    fold = LedgerFold(_epoch(events))
    taken = -1
    for number, event in enumerate(events):
        offset = event.offset * 2 + number % 2 if spread == 2 else event.offset
        if spread == 0 and offset <= taken:
            continue
        taken = offset
        outcome = None
        if isinstance(event.event, Verdict):
            outcome = fold.apply(offset, event.timestamp_ms, event.event)
        yield event._replace(offset=offset, outcome=outcome)


def _epoch(events: Sequence[FoldedEvent]) -> str:
    origins = [event.event.origin for event in events if event.event.origin]
    return Origin.parse(origins[0]).epoch if origins else ""


def _halved(rows: Mapping[str, Mapping[str, object]], again: Collection[int]) -> Image:
    """Give offsets as they were before everything was said twice.

    Parameters
    ----------
    again
        Offsets of verdicts that may hold a second time, changing nothing else.
    """

    def halved(column: str, value: object) -> object:
        if column not in _OFFSETS or not isinstance(value, int):
            return value
        is_repetition = value % 2 and value // 2 not in again
        return f"{value // 2}, said again" if is_repetition else value // 2

    return {
        name: {column: halved(column, value) for column, value in row.items()} for name, row in rows.items()
    }
