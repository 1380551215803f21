"""Champion and challenger: what is never promoted, whatever jobs there are."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.learning.measures import Floats, Places
from core.learning.verdict import (
    CHALLENGER,
    CHAMPION,
    LEAST_CLUSTERS,
    LEAST_ENDS,
    LEAST_FAILURES,
    LEAST_OF_SLICE,
    PLAIN,
    Said,
    Slice,
    Verdict,
    clusters_for,
    judge,
    too_thin,
)

ROUNDS = 20
fewer = settings(max_examples=6, deadline=None)
seeds = st.integers(0, 2**32 - 1)
tenants = st.sampled_from([1, 3, LEAST_CLUSTERS, 40])


def made_up(seed: int, tenants: int = 20, ends: int = 600) -> tuple[Slice, Said]:
    """Make a slice, and what somebody says who knows each tenant's habits and nothing else."""
    dice = np.random.default_rng(seed)
    of = dice.integers(0, tenants, ends)
    p = np.where(dice.random(tenants) < 0.5, 0.3, 0.08)[of]
    p[:100] = 0.2
    typical = dice.normal(8, 1.5, tenants)[of] + dice.normal(0, 0.6, ends)
    log_run = typical + dice.normal(0, 0.3, ends)
    failed = (dice.random(ends) < p).astype(np.float64)
    last = dice.integers(0, 4, ends)
    slices = {name: last == number for number, name in enumerate(("after FAIL", "after OK", "cold type"))}
    return Slice(failed, log_run, of, slices), Said(typical, np.clip(p, 0.01, 0.99))


def draws_for(on: Slice, seed: int = 1, rounds: int = ROUNDS) -> Places:
    count = len(clusters_for(on.tenants).members)
    return np.random.default_rng(seed).integers(0, count, (rounds, count))


def judged(on: Slice, challenger: Said, **others: Said) -> Verdict:
    return judge(on, challenger, others, draws_for(on))


def mixed(values: Floats, seed: int) -> Floats:
    return np.random.default_rng(seed).permutation(values)


@fewer
@given(seeds, tenants)
def test_what_says_the_same_as_all_others_is_not_worse(seed: int, tenants: int) -> None:
    on, said = made_up(seed, tenants)
    verdict = judged(on, said, ewma=said, champion=said)
    assert verdict.promote, verdict.words
    assert verdict.measures[CHALLENGER] == verdict.measures[PLAIN] == verdict.measures[CHAMPION]


@fewer
@given(seeds)
def test_what_knows_is_promoted_over_what_does_not(seed: int) -> None:
    on, said = made_up(seed)
    nothing = Said(mixed(said.log_run, seed), np.full(len(on), float(on.failed.mean())))
    better = Said(on.log_run, np.clip(on.failed, 0.05, 0.95))
    verdict = judged(on, better, ewma=nothing, champion=said)
    assert verdict.promote, verdict.words
    assert verdict.measures[CHALLENGER]["failed_logloss"] < verdict.measures[PLAIN]["failed_logloss"]


@fewer
@given(seeds, tenants, st.sampled_from(["reversed", "mixed", "constant"]))
def test_what_orders_run_times_wrongly_is_never_promoted(seed: int, tenants: int, how: str) -> None:
    on, said = made_up(seed, tenants)
    wrong = {"reversed": -said.log_run, "mixed": mixed(said.log_run, seed), "constant": said.log_run * 0}[how]
    for others in ({"ewma": said}, {"ewma": Said(wrong, said.failed), "champion": said}):
        verdict = judged(on, Said(wrong, said.failed), **others)
        assert not verdict.promote
        assert "order" in verdict.words


@fewer
@given(seeds, tenants)
def test_a_wrong_order_is_worse_than_none(seed: int, tenants: int) -> None:
    on, said = made_up(seed, tenants)
    none = Said(said.log_run * 0, said.failed)
    assert not judged(on, Said(-said.log_run, said.failed), ewma=none).promote
    assert judged(on, said, ewma=none).promote
    assert judged(on, none, ewma=none).promote


@fewer
@given(seeds, tenants)
def test_what_is_sure_of_the_opposite_is_never_promoted(seed: int, tenants: int) -> None:
    on, said = made_up(seed, tenants)
    for others in ({"ewma": said}, {"ewma": Said(said.log_run, 1 - said.failed), "champion": said}):
        verdict = judged(on, Said(said.log_run, 1 - said.failed), **others)
        assert not verdict.promote
        assert "log loss" in verdict.words


@fewer
@given(seeds, st.sampled_from(["after FAIL", "after OK", "cold type"]))
def test_one_slice_that_is_worse_than_the_running_rate_is_enough_and_is_named(seed: int, where: str) -> None:
    on, said = made_up(seed)
    # Better than the rate everywhere else, so all in all it is better.
    failed = np.where(on.slices[where], 1 - said.failed, np.clip(on.failed, 0.02, 0.98))
    verdict = judged(on, Said(said.log_run, failed), ewma=said)
    assert not verdict.promote
    assert f"slice {where}" in verdict.words
    assert verdict.measures[CHALLENGER]["failed_logloss"] < verdict.measures[PLAIN]["failed_logloss"] + 0.2


@fewer
@given(seeds, st.integers(0, LEAST_ENDS - 1), st.integers(0, LEAST_FAILURES - 1))
def test_thin_evidence_promotes_nothing_and_says_what_is_missing(seed: int, ends: int, failures: int) -> None:
    on, said = made_up(seed)
    few = Slice(
        on.failed[:ends], on.log_run[:ends], on.tenants[:ends], {k: v[:ends] for k, v in on.slices.items()}
    )
    verdict = judge(few, Said(few.log_run, few.failed), {PLAIN: Said(few.log_run, few.failed)}, draws_for(on))
    assert (verdict.promote, verdict.is_thin) == (False, True)
    assert f"{ends} ends" in verdict.words
    rare = np.zeros(len(on))
    rare[:failures] = 1
    for failed, what in ((rare, "are failures"), (1 - rare, "are no failures")):
        verdict = judged(replace(on, failed=failed), said, ewma=said)
        assert (verdict.promote, verdict.is_thin) == (False, True)
        assert what in verdict.words


@fewer
@given(seeds)
def test_more_noise_never_turns_a_refusal_into_a_promotion(seed: int) -> None:
    on, said = made_up(seed)
    dice = np.random.default_rng(seed)
    noise = dice.normal(0, 1, len(on))
    verdicts = [
        judged(on, Said(said.log_run + by * noise, said.failed), ewma=said).promote for by in (0, 3, 30, 300)
    ]
    assert verdicts == sorted(verdicts, reverse=True)
    assert verdicts[0]
    assert not verdicts[-1]


@given(st.lists(st.integers(0, 60), min_size=1, max_size=300))
def test_clusters_are_a_partition_of_the_rows_and_as_many_as_an_interval_needs(of: list[int]) -> None:
    labels = np.array(of)
    members = clusters_for(labels).members
    assert sorted(np.concatenate(members).tolist()) == list(range(len(of)))
    assert len(members) >= min(LEAST_CLUSTERS, len(of))


def test_a_small_slice_is_not_judged_apart() -> None:
    on, said = made_up(1)
    few = np.zeros(len(on), np.bool_)
    few[: LEAST_OF_SLICE - 1] = True
    failed = np.where(few, 1 - said.failed, np.clip(on.failed, 0.02, 0.98))
    alone = replace(on, slices={"after KILL": few})
    assert judged(alone, Said(said.log_run, failed), ewma=said).promote
    few[: 5 * LEAST_OF_SLICE] = True
    failed = np.where(few, 1 - said.failed, np.clip(on.failed, 0.02, 0.98))
    verdict = judged(replace(on, slices={"after KILL": few}), Said(said.log_run, failed), ewma=said)
    assert "slice after KILL" in verdict.words


def test_a_slice_that_is_worse_by_chance_alone_does_not_keep_a_model_back() -> None:
    promoted, looks_worse = 0, 0
    for seed in range(12):
        on, said = made_up(seed)
        where = on.slices["cold type"]
        off = np.random.default_rng(seed).normal(0, 0.3, len(on))
        # As good as the rate there, with errors of its own, and better elsewhere.
        failed = np.where(
            where, np.clip(said.failed * np.exp(off), 0.01, 0.99), np.clip(on.failed, 0.05, 0.95)
        )
        verdict = judged(on, Said(said.log_run, failed), ewma=said)
        promoted += verdict.promote
        looks_worse += "worst slice cold type +" in verdict.words
    assert looks_worse >= 6
    assert promoted >= 6


def test_an_interval_that_is_too_wide_does_not_excuse_what_is_clearly_worse() -> None:
    on, said = made_up(3, tenants=LEAST_CLUSTERS)
    worse = Said(said.log_run, np.clip(said.failed * 2.5, 0.01, 0.99))
    without = judge(on, worse, {PLAIN: said}, np.empty((0, 0), np.int64))
    assert not without.promote


@pytest.mark.parametrize("failures", [LEAST_FAILURES, LEAST_ENDS - LEAST_FAILURES])
def test_enough_is_enough(failures: int) -> None:
    assert too_thin(LEAST_ENDS, failures) == ""


@fewer
@given(
    seeds, st.sampled_from([np.nan, np.inf, -np.inf]), st.sampled_from(["failed", "log_run"]), st.booleans()
)
def test_what_says_no_number_is_never_promoted(seed: int, value: float, what: str, is_all: bool) -> None:
    on, said = made_up(seed)
    broken = getattr(said, what).copy()
    broken[slice(None) if is_all else slice(0, 1)] = value
    count = len(on) if is_all else 1
    verdict = judged(on, said._replace(**{what: broken}), **{PLAIN: said})
    assert not verdict.promote
    assert verdict.words == f"not to be promoted: {count} of {len(on)} predictions are no numbers"
