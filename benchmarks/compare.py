"""What became dearer: ``python -m benchmarks.compare BEFORE.json AFTER.json [--most 1.25]``.

Both are files of ``make bench``; ``make bench-check`` compares a new one with ``benchmarks/baseline.json``.
Nothing is compared as a time: every figure is CPU in runs of the calibration loop of its own file, so two
machines can be compared as far as they do all Python alike. The exit code is 1 when something costs more than
``--most`` times what it did, or is missing afterwards. Whole jobs may cost ``WHOLE_MOST`` times: what the
machine makes of many processes varies by a third from run to run, where the loop does not vary.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
from rich.console import Console

from benchmarks.pages import MISSED, Row, on_terminal
from benchmarks.report import heading
from benchmarks.results import Results
from benchmarks.throughput import middle

MOST = 1.25
"""The same code measured twice on a busy machine differs by less."""
WHOLE_MOST = 1.5
WHOLE = "a job, "
"""How figures of whole jobs begin."""


def figures_of(results: Results) -> dict[str, float]:
    """Give what can be compared, in runs of the calibration loop.

    CPU of whole jobs needs the stages in the same file, which hold how long that loop took.
    """
    return dict(_figures(results))


def _figures(results: Results) -> Iterator[tuple[str, float]]:
    for stage in results.stages:
        yield stage.stage, stage.ratio
    for cost in results.log:
        yield cost.what, cost.ratio
    for rows in results.table:
        yield f"rows, {rows.what}", rows.ratio
    if not results.stages:
        return
    loop_us = min(stage.calibration_us for stage in results.stages)
    for handler in results.handlers:
        yield f"{handler.task} in a worker", handler.cpu_us / loop_us
    for how, rounds in (("submit_many", results.throughput), ("records", results.records)):
        if rounds:
            yield f"{WHOLE}by {how}", middle(rounds).total_us / loop_us


def compared(before: Mapping[str, float], after: Mapping[str, float], most: float) -> tuple[list[Row], bool]:
    """Give a table of both, dearest first, and whether all is well."""
    ratios = {name: after[name] / was if name in after else None for name, was in before.items()}
    rows: list[Row] = [["CPU in calibration loops", "before", "after", "ratio", ""]]
    is_well = True
    for name, ratio in sorted(ratios.items(), key=lambda item: -(item[1] or float("inf"))):
        is_bad = ratio is None or ratio > (max(most, WHOLE_MOST) if name.startswith(WHOLE) else most)
        is_well = is_well and not is_bad
        now = "-" if ratio is None else f"{after[name]:.4f}"
        shown = "-" if ratio is None else f"{ratio:.2f}"
        rows.append([name, f"{before[name]:.4f}", now, shown, MISSED if is_bad else ""])
    return rows, is_well


def main(words: list[str]) -> int:
    """Print the comparison; see above for the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--most", type=float, default=MOST, help=f"default: {MOST:g}")
    given = parser.parse_args(words)
    console = Console(width=110, highlight=False)
    try:
        results = [
            msgspec.json.decode(file.read_bytes(), type=Results) for file in (given.before, given.after)
        ]
    except (OSError, msgspec.DecodeError) as error:
        sys.stderr.write(f"not a file of `make bench`: {error}\n")
        return 2
    before, after = map(figures_of, results)
    if not before:
        sys.stderr.write(f"{given.before} holds nothing to compare: measure stages, log or throughput\n")
        return 2
    for one in results:
        console.print(heading(one.machine))
    rows, is_well = compared(before, after, given.most)
    console.print()
    console.print(
        on_terminal(
            (f"At most {given.most:g} times as dear, whole jobs {max(given.most, WHOLE_MOST):g}", rows)
        )
    )
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
