"""The point above which failures are nearly certain: it is as precise as it says, and no lower one is."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.learning.measures import precision_point
from core.learning.verdict import POINT_LEAST, POINT_PRECISION, Said, Slice, failing_point

# Few values, so that there are ties; NaN: no score.
scores = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0, float("nan")])
jobs = st.lists(st.tuples(st.booleans(), scores), max_size=40)
precisions = st.sampled_from([0.1, 0.5, 0.8, 0.9, 1.0])


@given(jobs, precisions)
def test_the_point_is_the_lowest_threshold_that_is_precise_enough(
    made: list[tuple[bool, float]], precision: float
) -> None:
    hit = np.array([float(failed) for failed, _ in made])
    score = np.array([said for _, said in made])
    point = precision_point(hit, score, precision)

    precise: dict[float, tuple[int, int]] = {}
    for threshold in {said for _, said in made if not np.isnan(said)}:
        taken = [failed for failed, said in made if said >= threshold]
        if sum(taken) >= precision * len(taken):
            precise[threshold] = (len(taken), sum(taken))
    if point is None:
        assert not precise or not any(failed for failed, _ in made)
        return
    assert point.threshold == min(precise)
    assert (point.taken, point.hits) == precise[point.threshold]
    assert point.precision >= precision
    failures = sum(failed for failed, _ in made)
    assert point.recall == point.hits / failures
    good = len(made) - failures
    assert point.misses_per_1000 == (point.taken - point.hits) / max(1, good) * 1000


@given(st.integers(0, 3 * POINT_LEAST), st.integers(0, 3 * POINT_LEAST))
def test_a_model_has_a_point_only_on_evidence(failed: int, fine: int) -> None:
    """So many above, of which some were fine; below there are only those that did not fail."""
    below = 200
    hit = np.r_[np.ones(failed), np.zeros(fine + below)]
    p = np.r_[np.full(failed + fine, 0.75), np.full(below, 0.25)]
    on = Slice(hit, np.zeros(len(hit)), np.zeros(len(hit), np.int64), {})
    point = failing_point(on, Said(np.zeros(len(hit)), p))
    above = failed + fine
    if above >= POINT_LEAST and failed >= POINT_PRECISION * above:
        assert point is not None
        assert (point.threshold, point.taken, point.hits) == (0.75, above, failed)
    else:
        assert point is None
