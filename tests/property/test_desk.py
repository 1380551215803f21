"""Laws of redriving: how many are out, when it stops, who is left out; and of merge patches."""

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from core.desk import (
    FIXABLE_MIN,
    PORTION,
    Candidate,
    End,
    Go,
    Rules,
    Stop,
    Wait,
    Watch,
    choose,
    fixability,
)
from core.masking import mask
from core.merge_patch import merged, named_by

RULES = st.builds(Rules, st.floats(0, 1), st.integers(1, 20), st.integers(1, 60), st.integers(1, 40))
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5)
NAMES = st.sampled_from(["a", "b", "c/d", "e~f", ""])
JSON: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(RULES, st.lists(st.lists(st.sampled_from(End), max_size=30), max_size=30))
def test_out_is_never_more_than_the_probe_and_two_a_success(rules: Rules, rounds: list[list[End]]) -> None:
    watch = Watch(rules)
    for ends in rounds:
        match watch.step():
            case Go(most):
                assert 0 < most <= PORTION
                watch.redrove(most)
            case Wait():
                assert watch.out >= rules.probe
            case Stop():
                return
        assert watch.out <= rules.probe + 2 * watch.ends[End.SUCCEEDED]
        watch.ended(ends[: watch.out])
        assert watch.out >= 0


@given(RULES, st.lists(st.sampled_from(End), max_size=200))
def test_it_stops_exactly_when_the_newest_ends_are_returns(rules: Rules, ends: list[End]) -> None:
    watch = Watch(rules)
    watch.redrove(len(ends))
    watch.ended(ends)
    newest = ends[-max(rules.window, rules.min_ended) :]
    returned = newest.count(End.RETURNED)
    stops = len(newest) >= rules.min_ended and returned > rules.stop_above * len(newest)
    assert watch.stop() == (Stop(returned, len(newest)) if stops else None)


@given(st.lists(st.sampled_from([End.RETURNED, End.OTHERWISE]), min_size=500, max_size=500))
def test_without_a_success_no_more_than_the_probe_goes_out(ends: list[End]) -> None:
    watch, left = Watch(Rules()), list(ends)
    while not isinstance(step := watch.step(), Stop):
        if isinstance(step, Go):
            watch.redrove(step.most)
        watch.ended([left.pop()])
        if watch.sent > 400:
            break
        assert watch.out <= Rules().probe
    if all(end is End.RETURNED for end in ends):
        assert watch.sent <= Rules().probe + Rules().min_ended


CANDIDATES = st.lists(
    st.builds(Candidate, st.uuids().map(str), st.integers(1, 9), st.integers(0, 5), st.booleans()),
    max_size=20,
)


@given(CANDIDATES, st.none() | st.integers(0, 5), st.booleans())
def test_everybody_is_taken_or_left_out_for_one_reason(
    candidates: list[Candidate], most: int | None, with_dropped: bool
) -> None:
    chosen = choose(candidates, redrives_max=most, with_dropped=with_dropped)
    assert sorted([*chosen.taken, *chosen.looping, *chosen.dropped]) == sorted(candidates)
    assert all(most is None or one.redrives < most for one in chosen.taken)
    assert all(most is not None and one.redrives >= most for one in chosen.looping)
    assert all(one.dropped for one in chosen.dropped)
    assert with_dropped or not any(one.dropped for one in chosen.taken)


PAIRS = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda pair: (min(pair), max(pair)))


@given(PAIRS, PAIRS)
def test_a_share_is_given_only_of_enough_and_says_of_what(
    redriven: tuple[int, int], retried: tuple[int, int]
) -> None:
    found = fixability(redriven, retried)
    if redriven[1] >= FIXABLE_MIN:
        assert found.share == redriven[0] / redriven[1]
        assert "redriven" in found.basis
    elif retried[1] >= FIXABLE_MIN:
        assert found.share == retried[0] / retried[1]
        assert "retried" in found.basis
    else:
        assert found.share is None


def by_the_book(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2, word by word."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = by_the_book(result.get(name), value)
    return result


def raw(value: Any) -> bytes:
    return msgspec.json.encode(value)


@given(JSON, JSON)
def test_a_patch_does_what_the_standard_says(target: Any, patch: Any) -> None:
    assert json.loads(merged(raw(target), raw(patch))) == by_the_book(target, patch)


@given(JSON, JSON)
def test_a_patch_applied_twice_does_no_more_than_once(target: Any, patch: Any) -> None:
    once = merged(raw(target), raw(patch))
    assert merged(once, raw(patch)) == once


@given(st.dictionaries(st.sampled_from("abc"), JSON), JSON)
def test_what_is_named_says_all_that_changed_and_no_value(target: dict[str, Any], patch: Any) -> None:
    patch = patch if isinstance(patch, dict) else {"a": patch}
    sets, removes = named_by(raw(patch))
    before, after = raw(target), merged(raw(target), raw(patch))
    assert json.loads(mask(mask(before, removes), sets)).keys() | json.loads(after).keys() >= patch.keys() - {
        name for name, value in patch.items() if value is None
    }
    # Beside what is named, nothing differs.
    kept = {name: value for name, value in json.loads(before).items() if name not in patch}
    assert {name: value for name, value in json.loads(after).items() if name not in patch} == kept


def test_values_nobody_names_keep_their_bytes() -> None:
    target = b'{"n": 1.50, "big": 12345678901234567, "x": {"keep":1e2, "drop":2}, "l":[1, 2]}'
    assert merged(target, b'{"x": {"drop": null, "new": "v"}}') == (
        b'{"n":1.50,"big":12345678901234567,"x":{"keep":1e2,"new":"v"},"l":[1, 2]}'
    )
    assert named_by(b'{"x": {"drop": null, "a/b": "secret"}, "y": {}}') == (("/x/a~1b", "/y"), ("/x/drop",))
