"""What a comparison is asked for."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.machine import ROOT


@dataclass(frozen=True)
class Options:
    """How much is measured.

    Attributes
    ----------
    peers
        Names, in the order of the first round.
    jobs, warm_up
        Of the backlog, and of one before it that is not measured: connections, compiled code.
    per_s, seconds
        Rate and length of the open load.
    repeats
        Rounds; every peer has its turn in each.
    """

    peers: tuple[str, ...]
    jobs: int = 20_000
    warm_up: int = 500
    per_s: float = 50.0
    seconds: float = 20.0
    repeats: int = 3
    json_file: Path = ROOT / "build" / "peers.json"


def quick(options: Options) -> Options:
    """Give a look: each peer once, too short for figures to compare."""
    return replace(options, jobs=500, warm_up=50, seconds=4.0, repeats=1)


def parse(arguments: Sequence[str], peers: Sequence[str]) -> Options:
    """Read the command line; leaves the process with a message when it cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="each peer once and short: do they work")
    parser.add_argument("--only", action="append", choices=list(peers), help="one peer; may be repeated")
    parser.add_argument("--jobs", type=_positive, help="jobs of the backlog; default: 20000")
    parser.add_argument("--repeats", type=_positive, help="rounds; default: 3")
    parser.add_argument("--json", type=Path, metavar="FILE", help="default: build/peers.json")
    given = parser.parse_args(arguments)
    options = Options(tuple(name for name in peers if given.only is None or name in given.only))
    options = quick(options) if given.quick else options
    return replace(
        options,
        jobs=given.jobs or options.jobs,
        warm_up=min(options.warm_up, given.jobs or options.jobs),
        repeats=given.repeats or options.repeats,
        json_file=given.json or options.json_file,
    )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value
