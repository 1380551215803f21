"""The fold of outcomes: a function of what happened, whoever reported it and how."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from core.learning.aggregates import KeyAggregates, advance, image, restored
from core.learning.events import Ended, Key, Status
from core.learning.features import FEATURES, JobFacts, features
from core.learning.fold import FeatureFold
from core.learning.seconds import LAG_MS, OpenSeconds, SecondOfKey, Taken, merge, second_of
from tests.support.learning_events import T0_MS, Happened, histories

fewer = settings(max_examples=40)


def _state(fold: FeatureFold, until_ms: int = T0_MS + 60_000) -> dict[Key, bytes]:
    for _ in fold.close(until_ms):
        pass
    return {key: image(state) for key, state in fold.states.items()}


def _folded(history: list[Happened]) -> dict[Key, bytes]:
    fold = FeatureFold()
    for event, keys in history:
        fold.take(event, keys)
    return _state(fold)


@fewer
@given(histories(), st.data())
def test_any_order_and_repetition_before_the_watermark_gives_the_same_state(
    history: list[Happened], data: st.DataObject
) -> None:
    repeats = data.draw(st.lists(st.sampled_from(history), max_size=8))
    assert _folded(data.draw(st.permutations(history + repeats))) == _folded(history)


@fewer
@given(histories(), st.data())
def test_closing_early_gives_the_same_state_as_closing_at_the_end(
    history: list[Happened], data: st.DataObject
) -> None:
    """Batch and stream: whenever the watermark moves, as long as nothing is late."""
    fold = FeatureFold()
    closings = data.draw(st.integers(0, 2 ** len(history) - 1))
    for place, (event, keys) in enumerate(history):
        assert fold.take(event, keys) is Taken.ON_TIME
        if closings >> place & 1:
            for _ in fold.close(event.at_ms - LAG_MS):
                pass
    assert _state(fold) == _folded(history)


@fewer
@given(histories(), st.integers(1, 4), st.data())
def test_parts_of_a_second_make_it_in_any_split_and_order(
    history: list[Happened], parts: int, data: st.DataObject
) -> None:
    events = [happened.event for happened in history]
    whole = second_of(events)
    split = [second_of(data.draw(st.lists(st.sampled_from(events)))) for _ in range(parts)]
    split += [second_of([event]) for event in events]
    merged = SecondOfKey()
    for part in data.draw(st.permutations(split)):
        merged = merge(merged, part)
    assert merged == whole
    assert merge(whole, whole) == whole
    assert whole.submitted == len({event.origin for event in events if not isinstance(event, Ended)})
    assert sum(whole.ended(status) for status in Status) == len(whole.ends)
    assert whole.run_ms == sum(event.run_ms for event in events if isinstance(event, Ended))


@fewer
@given(histories(), st.integers(0, 9_000), st.data())
def test_features_do_not_change_with_what_comes_after_the_decision(
    history: list[Happened], at_ms: int, data: st.DataObject
) -> None:
    """The shuffle-future test: other ends, other kinds of ends, other times."""
    t_ms = T0_MS + at_ms
    before = [happened for happened in history if happened.event.at_ms < t_ms]
    after = [happened for happened in history if happened.event.at_ms >= t_ms]
    changed = [
        Happened(event._replace(at_ms=t_ms + data.draw(st.integers(0, 5_000))), keys) for event, keys in after
    ]
    keys = data.draw(st.sampled_from(history)).keys
    vectors = []
    for future in (after, changed, []):
        fold = FeatureFold()
        for event, event_keys in [*before, *future]:
            fold.take(event, event_keys)
        vectors.append(fold.decide(keys, JobFacts(), t_ms).tobytes())
    assert vectors[0] == vectors[1] == vectors[2]


@fewer
@given(histories(), st.data())
def test_what_is_late_counts_in_the_first_open_second_and_once(
    history: list[Happened], data: st.DataObject
) -> None:
    late = data.draw(st.sampled_from(history))
    rest = [happened for happened in history if happened.event != late.event]
    seconds = OpenSeconds()
    fold = FeatureFold(seconds)
    for event, keys in rest:
        fold.take(event, keys)
    _state(fold)
    assert fold.take(late.event, late.keys) is Taken.LATE
    assert fold.take(late.event, late.keys) is Taken.REPEATED
    until_s = seconds.first_open_s
    _state(fold, (until_s + 1) * 1000)
    state = fold.states[late.keys[0]]
    assert state.at_s == until_s
    assert state.submitted + state.ended == len(history)
    assert fold.take(late.event, late.keys) is Taken.REPEATED


@fewer
@given(histories())
def test_counts_are_those_of_the_events_and_decay_never_adds(history: list[Happened]) -> None:
    fold = FeatureFold()
    for event, keys in history:
        fold.take(event, keys)
    _state(fold)
    for key, state in fold.states.items():
        own = [happened.event for happened in history if key in happened.keys]
        ends = [event for event in own if isinstance(event, Ended)]
        assert state.submitted == len(own) - len(ends)
        assert state.ended == len(ends)
        assert state.failed == sum(end.status == Status.FAILED for end in ends)
        assert 0 <= state.failed_1h <= state.failed_24h <= state.failed
        assert 0 <= state.failed_share <= 1
        assert image(restored(image(state))) == image(state)
        if ends:
            last = max(ends)
            assert (state.last_run_ms, state.last_status) == (last.run_ms, last.status)


@fewer
@given(histories(), st.integers(0, 10_000_000))
def test_a_vector_has_every_feature_and_is_finite_or_missing(history: list[Happened], later_ms: int) -> None:
    fold = FeatureFold()
    for event, keys in history:
        fold.take(event, keys)
    _state(fold)
    states = [fold.states.get(key) for key in history[0].keys]
    vector = features(states, JobFacts(), T0_MS + later_ms)
    assert len(vector) == len(FEATURES)
    assert not any(math.isinf(value) for value in vector)


def test_an_empty_second_only_decays() -> None:
    end = Ended(T0_MS, "o", 1, 1000, Status.FAILED, T0_MS - 1000)
    once = advance(KeyAggregates(), T0_MS // 1000, SecondOfKey((), (end,)))
    later = advance(restored(image(once)), T0_MS // 1000 + 3600, SecondOfKey())
    assert later.failed_1h == 0.5
    assert later.failed == 1
