"""What several runs say together, who runs when, and which runs count."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.peers.figures import (
    PENSTOCK,
    Run,
    Workload,
    backlog_figures,
    not_once,
    order,
    rate_figures,
    spread,
    summaries,
)

NAMES = st.lists(st.text(min_size=1, max_size=3), unique=True, max_size=9)


def run(peer: str, number: int, jobs_per_s: float, *, invalid: str = "") -> Run:
    figures = {} if invalid else {"jobs_per_s": jobs_per_s}
    return Run(peer, Workload.THROUGHPUT, number, 100, 0.5, figures, {}, invalid)


@given(NAMES, st.integers(0, 7))
def test_every_peer_has_one_turn_in_every_round_and_rounds_follow_each_other(
    peers: list[str], rounds: int
) -> None:
    turns = order(peers, rounds)
    assert [number for number, _ in turns] == [number for number in range(rounds) for _ in peers]
    for number in range(rounds):
        assert sorted(peer for at, peer in turns if at == number) == sorted(peers)


@given(st.integers(2, 9), st.integers(2, 12))
def test_no_peer_begins_two_rounds_in_a_row(count: int, rounds: int) -> None:
    turns = order([str(number) for number in range(count)], rounds)
    begins = [peer for _, peer in turns[::count]]
    assert all(one != other for one, other in pairwise(begins))


def test_neighbours_change_sides_from_round_to_round() -> None:
    assert order(["a", "b", "c"], 3) == [
        *[(0, "a"), (0, "b"), (0, "c")],
        *[(1, "b"), (1, "a"), (1, "c")],
        *[(2, "c"), (2, "a"), (2, "b")],
    ]


def test_a_spread_is_the_median_and_how_far_the_runs_lie_apart() -> None:
    found = spread([30.0, 10.0, 20.0])
    assert (found.median, found.least, found.most, found.runs) == (20.0, 10.0, 30.0, 3)
    assert found.share == pytest.approx(1.0)
    assert spread([0.0]).share == math.inf


def test_ratios_compare_with_penstock_in_the_same_round() -> None:
    # The machine was half as fast in the second round, for both: the ratio does not see it.
    runs = [run(PENSTOCK, 0, 1000), run("river", 0, 2000), run("river", 1, 1000), run(PENSTOCK, 1, 500)]
    river = next(one for one in summaries(runs) if one.peer == "river")
    assert river.to_penstock == {"jobs_per_s": 2.0}
    assert river.figures["jobs_per_s"].median == 1500


def test_a_round_without_penstock_has_no_ratio_but_counts_for_the_median() -> None:
    runs = [run("river", 0, 10), run("river", 1, 30), run(PENSTOCK, 1, 10)]
    river = next(one for one in summaries(runs) if one.peer == "river")
    assert river.to_penstock == {"jobs_per_s": 3.0}
    assert river.figures["jobs_per_s"].runs == 2
    assert summaries([run("river", 0, 10)])[0].to_penstock == {}


def test_an_invalid_run_counts_nowhere() -> None:
    runs = [run("saq", 0, 10), run("saq", 1, 99, invalid="1 never ran"), run("celery", 0, 1, invalid="gone")]
    (saq,) = summaries(runs)
    assert (saq.peer, saq.figures["jobs_per_s"].median) == ("saq", 10)


def test_a_penstock_run_that_is_invalid_is_no_base_for_ratios() -> None:
    runs = [run(PENSTOCK, 0, 5, invalid="2 ran more than once"), run("saq", 0, 10)]
    assert summaries(runs)[0].to_penstock == {}


def test_every_job_must_have_run_exactly_once() -> None:
    once = {7: [1.0], 8: [2.0], 3: [1.0, 2.0]}
    assert not_once(range(7, 9), once) == ""
    assert not_once(range(7, 10), once) == "of 3 jobs 1 never ran"
    assert not_once(range(2, 4), once) == "of 2 jobs 1 never ran and 1 ran more than once"


def test_a_backlog_is_measured_to_its_end_and_by_all_processes() -> None:
    assert backlog_figures(200, submitted_s=0.5, elapsed_s=2.0, cpu_s=0.1) == {
        "jobs_per_s": 100.0,
        "submitted_per_s": 400.0,
        "cpu_ms_per_job": 0.5,
    }


def test_an_open_load_is_measured_from_when_each_job_was_due() -> None:
    due_ms = [0.0, 10.0, 20.0]
    found = rate_figures(due_ms, [1.0, 12.0, 23.0], [5.0, 16.0, 40.0], cpu_s=0.006)
    assert found == {
        "start_p50_ms": 2.0,
        "start_p99_ms": 3.0,
        "terminal_p50_ms": 6.0,
        "terminal_p99_ms": 20.0,
        "cpu_ms_per_job": 2.0,
    }
