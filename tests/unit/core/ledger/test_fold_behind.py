"""Whether a fold has yet to read what a dispatch rests on."""

import pytest

from core.ledger.fold import LedgerFold
from core.ledger.verdicts import Verdict
from tests.support.verdicts import EPOCH, ORIGIN, About

job = About()


def fold_of(story: list[Verdict]) -> LedgerFold:
    fold = LedgerFold(EPOCH)
    for offset, verdict in enumerate(story):
        fold.apply(offset, 1000 + offset, verdict)
    return fold


class TestBehind:
    """A dispatch may be read from its execution topic before the decision it rests on."""

    @pytest.mark.parametrize(
        ("story", "n"),
        [
            ([], 2),
            ([job.claimed()], 2),
            ([job.claimed(), job.failed()], 2),
            ([job.claimed(), job.failed(), job.dead()], 2),
            ([job.cancel()], 2),
        ],
    )
    def test_the_fold_is_behind_of_what_may_still_be_allowed(self, story: list[Verdict], n: int) -> None:
        assert fold_of(story).is_behind(ORIGIN, n)

    @pytest.mark.parametrize(
        ("story", "n"),
        [
            ([], 1),
            ([job.claimed()], 1),
            ([job.claimed(), job.failed(), job.retry()], 1),
            ([job.claimed(), job.failed(), job.retry()], 2),
            ([job.claimed(), job.succeeded()], 1),
            ([job.claimed(), job.succeeded()], 2),
            ([job.claimed(), job.failed(), job.dead()], 1),
        ],
    )
    def test_the_fold_is_not_behind_of_what_it_knows(self, story: list[Verdict], n: int) -> None:
        assert not fold_of(story).is_behind(ORIGIN, n)
