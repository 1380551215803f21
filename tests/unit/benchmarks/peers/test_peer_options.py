"""The command line of the comparison."""

from pathlib import Path

import pytest

from benchmarks.peers.options import Options, parse

NAMES = ("penstock", "river", "saq")


def test_without_arguments_everything_is_compared_in_full() -> None:
    assert parse([], NAMES) == Options(NAMES)


def test_named_peers_keep_the_order_of_the_catalog() -> None:
    assert parse(["--only", "saq", "--only", "penstock"], NAMES).peers == ("penstock", "saq")


def test_what_is_given_goes_before_the_quick_defaults() -> None:
    found = parse(["--quick", "--jobs", "20", "--repeats", "2", "--json", "x.json"], NAMES)
    assert (found.jobs, found.warm_up, found.repeats) == (20, 20, 2)
    assert found.seconds < Options(NAMES).seconds
    assert found.json_file == Path("x.json")


@pytest.mark.parametrize("arguments", [["--only", "sidekiq"], ["--jobs", "0"]])
def test_what_cannot_be_measured_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        parse(arguments, NAMES)
