"""The burst that orders are compared on, and what its waits come to."""

import math

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from penstock.demo.orders_plan import JOBS_MAX, LEAST_S, MOST_S, OVERLOAD, OrderResult, burst, result_of
from penstock.demo.orders_report import as_json, ordered_by, orders_table


@given(st.integers(0, 1000), st.integers(1, 80), st.floats(0.5, 5))
def test_a_burst_is_more_than_the_slots_can_do_while_it_comes(seed: int, slots: int, seconds: float) -> None:
    jobs = burst(seed, slots, seconds)
    work_s = math.fsum(one.run_s for one in jobs)
    assert len(jobs) == JOBS_MAX or slots * seconds <= work_s < slots * seconds + MOST_S
    assert all(LEAST_S <= one.run_s <= MOST_S for one in jobs)
    assert [one.at_s for one in jobs] == sorted(one.at_s for one in jobs)
    assert jobs[-1].at_s <= work_s / slots / OVERLOAD
    assert jobs == burst(seed, slots, seconds)


def test_when_costs_are_reversed_what_was_cheapest_is_dearest() -> None:
    def means(*, reversed_: bool) -> dict[tuple[str, str], float]:
        jobs = burst(7, 64, 8, reversed_=reversed_)
        pairs = {(one.type, one.tenant) for one in jobs}
        by_pair = {
            pair: [one.run_s for one in jobs if (one.type, one.tenant) == pair] for pair in sorted(pairs)
        }
        return {pair: math.fsum(runs) / len(runs) for pair, runs in by_pair.items()}

    plain, changed = means(reversed_=False), means(reversed_=True)
    cheapest = sorted(plain, key=plain.__getitem__)[:8]
    assert all(changed[pair] > plain[pair] for pair in cheapest)


def a_result(order: str, mean_s: float, ordered: dict[str, int]) -> OrderResult:
    return OrderResult(order, f"by {order}", 10, mean_s, 0.5, 2.0, 3.0, ordered)


def test_waits_are_summed_up_by_nearest_rank() -> None:
    result = result_of("rule", "the rule", [float(wait) for wait in range(100, 0, -1)], {"rule": 100})
    assert (result.jobs, result.mean_s, result.p50_s, result.p99_s, result.max_s) == (100, 50.5, 50, 99, 100)


def test_the_table_compares_with_order_of_arrival() -> None:
    results = [a_result("arrival", 4.0, {"ewma": 9, "rule": 1}), a_result("model", 1.0, {"20261127-m": 10})]
    console = Console(width=140, record=True)
    console.print(orders_table(results))
    text = console.export_text()
    assert "0.25" in text
    assert "mean 90%, rule 10%" in text
    assert ordered_by(results[1]) == "model 100%"
    assert as_json(results)[1]["mean_s"] == 1.0
