"""Whether diverting pays: refused on thin evidence, and said only where the interval says so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.learning.preempt_evidence import LEAST_RAN, Ran, evidence_of

counts = st.integers(0, 2000)


@given(counts, counts, counts, st.floats(0, 1e5), st.floats(0, 1e4))
def test_the_verdict_follows_the_interval(
    succeeded: int, recovered: int, failed: int, each_s: float, price_s: float
) -> None:
    ran = Ran(succeeded, recovered, failed, failed * each_s)
    found = evidence_of(ran, price_s)
    assert found.is_enough == (ran.ends >= LEAST_RAN)
    assert found.good == succeeded + recovered
    if not found.is_enough:
        assert found.pays is None
    if found.pays is True:
        assert found.saved_s > found.cost_s
    if found.pays is False:
        assert found.saved_s <= found.cost_s + 1e-6 * (1 + found.cost_s)


@pytest.mark.parametrize(
    ("ran", "price_s", "pays", "words"),
    [
        (Ran(19, 0, 180, 1e6), 1.0, None, "no verdict: 199 dispatches"),
        (Ran(10, 0, 190, 19_000.0), 60.0, True, "it pays: 19000 s saved, 10 good jobs stopped at 60 s each"),
        (Ran(100, 0, 100, 100.0), 60.0, False, "it does not pay"),
        (Ran(10, 0, 190, 760.0), 60.0, None, "it may pay, and may not"),
        (Ran(200), 0.0, False, "it does not pay"),
        (Ran(0, 150, 50, 500.0), 60.0, False, "it does not pay: 500 s saved, 150 good jobs"),
    ],
)
def test_it_is_said_in_words(ran: Ran, price_s: float, pays: bool | None, words: str) -> None:
    found = evidence_of(ran, price_s)
    assert found.pays is pays
    assert found.words.startswith(words)


def test_what_a_retry_saved_is_a_right_prediction_of_a_good_job() -> None:
    found = evidence_of(Ran(0, 150, 50, 500.0), 60.0)
    assert (found.precision, found.good) == (1.0, 150)
