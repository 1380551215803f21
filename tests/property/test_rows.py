"""The merge: any batching gives the same row; repetition and what does not hold change nothing."""

from hypothesis import given
from hypothesis import strategies as st

from core.rows import Row, merge
from core.rows_table import Table, empty_table, gather
from core.states import TERMINAL, State
from schemas.ledger import FoldedEvent, LedgerFolds
from tests.support.ledger_stories import EPOCH, Event, batched, folded, stories, written

CUTS = st.lists(st.integers(0, 1000), max_size=6)


def gathered(events: list[FoldedEvent]) -> Table:
    table = empty_table()
    gather(table, events)
    return table


@given(stories(), CUTS)
def test_rows_of_batches_merged_in_order_are_the_rows_of_all_at_once(
    events: list[Event], cuts: list[int]
) -> None:
    told = folded(events)
    merged: dict[str, Row] = {}
    attempts: dict[tuple[str, int], Row] = {}
    for batch in batched(told, cuts):
        part = gathered(batch)
        for job_id, row in part.jobs.items():
            merge(merged.setdefault(job_id, {}), row)
        for key, row in part.attempts.items():
            merge(attempts.setdefault(key, {}), row, ())
    whole = gathered(told)
    assert merged == whole.jobs
    assert attempts == whole.attempts


@given(stories(), st.integers(0, 1000))
def test_a_stretch_up_to_the_end_that_is_merged_once_more_changes_no_row(
    events: list[Event], cut: int
) -> None:
    told = folded(events)
    table, whole = gathered(told), gathered(told)
    # Events of a partition in order, as they are read again.
    gather(table, told[cut % (len(told) + 1) :])
    assert table == whole


@given(stories(), CUTS)
def test_folding_in_batches_says_the_same_as_folding_at_once(events: list[Event], cuts: list[int]) -> None:
    records, folds, table = written(events), LedgerFolds(EPOCH, with_notes=True), empty_table()
    places = sorted({cut % (len(records) + 1) for cut in cuts})
    for end in (*places, len(records)):
        # From the very start every time: what was taken before is skipped.
        gather(table, folds.take(records[:end]))
    assert table == gathered(folded(events))


@given(stories())
def test_what_does_not_hold_shows_in_no_row(events: list[Event]) -> None:
    told = folded(events)
    holding = [one for one in told if one.outcome is None or one.outcome.holds]
    assert gathered(told) == gathered(holding)


@given(stories(jobs=1))
def test_the_state_follows_the_last_verdict_that_gave_one_unless_a_note_is_further(
    events: list[Event],
) -> None:
    told = folded(events)
    ranks = [one.outcome.rank for one in told if one.outcome is not None and one.outcome.state is not None]
    for row in gathered(told).jobs.values():
        assert int(row.get("state_rank", 0)) >= max(ranks, default=0)
        ended = row.get("state") in {state.value for state in TERMINAL}
        assert ended == ("finished_at" in row)
        if row.get("state") == State.ACCEPTED:
            assert not ranks


@given(stories(jobs=2), stories(jobs=2))
def test_jobs_do_not_touch_each_others_rows(first: list[Event], second: list[Event]) -> None:
    told = folded([*first, *second])
    for job_id, row in gathered(told).jobs.items():
        alone = gathered([one for one in told if one.event.job_id == job_id])
        assert alone.jobs == {job_id: row}
