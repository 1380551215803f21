"""A snapshot is the fold: nobody can tell who read the log from its start."""

from hypothesis import given
from hypothesis import strategies as st

from core.ledger.fold import LedgerFold
from core.ledger.snapshot import chunks_of, fold_from
from tests.support.histories import JOBS, Timed, apply_all, timed_histories
from tests.support.verdicts import EPOCH


def _restored(fold: LedgerFold) -> LedgerFold:
    return fold_from(list(chunks_of(fold.image())))


def _answers(fold: LedgerFold) -> list[object]:
    """Every question there is, about every job."""
    return [
        (
            fold.is_done(job.origin),
            fold.is_cancel_asked(job.origin),
            [fold.may_claim(job.origin, job.job_id, n) for n in range(1, 6)],
            [fold.holds_claim(job.origin, n, by) for n in range(1, 6) for by in "ab"],
        )
        for job in JOBS
    ]


@given(timed_histories(), st.integers(0, 60))
def test_a_restored_fold_equals_the_one_it_was_made_of_and_goes_on_alike(
    history: list[Timed], cut: int
) -> None:
    cut = min(cut, len(history))
    fold = LedgerFold(EPOCH)
    apply_all(fold, history[:cut])

    restored = _restored(fold)

    assert restored.image() == fold.image()
    assert list(restored.open) == list(fold.open)
    assert _answers(restored) == _answers(fold)
    assert apply_all(restored, history[cut:], cut) == apply_all(fold, history[cut:], cut)
    assert restored.image() == fold.image()
    assert _answers(restored) == _answers(fold)


@given(timed_histories(), st.integers(0, 60), st.integers(0, 60))
def test_an_image_stays_what_it_was_while_the_fold_goes_on(
    history: list[Timed], first: int, second: int
) -> None:
    first, second = sorted((min(first, len(history)), min(second, len(history))))
    fold = LedgerFold(EPOCH)
    apply_all(fold, history[:first])
    early = fold.image()
    as_taken = list(chunks_of(early))

    apply_all(fold, history[first:second], first)
    late = fold.image()
    late_as_taken = list(chunks_of(late))
    apply_all(fold, history[second:], second)

    assert list(chunks_of(early)) == as_taken
    assert list(chunks_of(late)) == late_as_taken
    alone = LedgerFold(EPOCH)
    apply_all(alone, history)
    assert fold.image() == alone.image(), "an image that was taken leaves no trace"


@given(timed_histories(), st.lists(st.integers(0, 60), max_size=4))
def test_restarting_from_snapshots_anywhere_ends_like_one_reading(
    history: list[Timed], restarts: list[int]
) -> None:
    whole = LedgerFold(EPOCH)
    expected = apply_all(whole, history)

    fold, found = LedgerFold(EPOCH), list[bool]()
    for cut in [*sorted(min(restart, len(history)) for restart in restarts), len(history)]:
        found += apply_all(fold, history[len(found) : cut], len(found))
        fold = _restored(fold)

    assert found == expected
    assert fold.image() == whole.image()
