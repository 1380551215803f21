"""``python -m tests.chaos``: list scenarios, run them, say what was violated."""

import argparse
import logging
import secrets
import signal
import sys
import time
from pathlib import Path

from rich.console import Console

from tests.chaos.report import SHOWN_VIOLATIONS, as_json, said_of, table_of, write_report
from tests.chaos.rig.leftovers import remove_leftovers
from tests.chaos.run import Result, Runner
from tests.chaos.scenario import Scenario
from tests.chaos.scenarios.catalog import ALL, BY_NAME, in_running_order

BUILD = Path("build")
console = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 180)


def main(arguments: list[str] | None = None) -> int:
    """Give the exit status: 1 when anything was violated."""
    asked = _parser().parse_args(arguments)
    if asked.command == "list":
        for scenario in ALL:
            sys.stdout.write(f"{scenario.name:28} {scenario.fault:10} {scenario.summary}\n")
        return 0
    chosen = ALL if asked.all else tuple(BY_NAME[name] for name in asked.names)
    if asked.subset:
        chosen = tuple(scenario for scenario in ALL if scenario.subset)
    if not chosen:
        sys.stderr.write("name scenarios, or ask for --all or --subset; `list` shows them\n")
        return 2
    seed = secrets.randbelow(1_000_000) if asked.seed is None else asked.seed
    # A default SIGTERM would leave the finally blocks out; Ctrl-C does not.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    results = run_all(in_running_order(chosen), seed, BUILD / "chaos")
    console.print(table_of(results))
    if asked.json:
        for result in results:
            console.print_json(data=as_json(result))
    return 1 if any(not result.holds for result in results) else 0


def run_all(scenarios: list[Scenario], seed: int, directory: Path) -> list[Result]:
    """Run scenarios one after the other, saying what happens."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in remove_leftovers():
        _say(f"removed {name}, which a killed run left")
    runner = Runner(directory.resolve(), _say)
    _log_to(directory / "driver.log")
    results: list[Result] = []
    try:
        for number, scenario in enumerate(scenarios, 1):
            _say(f"[{number}/{len(scenarios)}] {scenario.name} --seed {seed}: {scenario.summary}")
            results.append(runner.run(scenario, seed))
            # After each, so that an interrupted run has said what it knows.
            write_report(BUILD / "chaos.json", results, seed)
            _say_result(results[-1])
    finally:
        runner.close()
    return results


def _log_to(path: Path) -> None:
    """Keep what the driver's own clients say while a broker is away off the screen."""
    logging.basicConfig(filename=path, filemode="w", level=logging.WARNING, force=True)


def _say(text: str) -> None:
    console.print(f"{time.strftime('%H:%M:%S')} {text}", markup=False, soft_wrap=True)


def _say_result(result: Result) -> None:
    found = result.findings
    if result.skipped:
        _say(f"  SKIPPED: {result.skipped}")
        return
    recovery = "" if result.recovery_s is None else f", recovered in {result.recovery_s:.1f} s"
    _say(
        f"  {found.jobs} jobs, {result.duration_s:.0f} s{recovery}: {'holds' if result.holds else 'VIOLATED'}"
    )
    for violation in found.violations[:SHOWN_VIOLATIONS]:
        _say(f"  {said_of(violation)}")
    if not result.holds:
        _say(f"  violations: {dict(found.counts)}; logs and evidence: {result.kept}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="show the scenarios")
    run = commands.add_parser("run", help="run scenarios")
    run.add_argument("names", nargs="*", metavar="NAME", choices=[*BY_NAME, []])
    run.add_argument("--all", action="store_true", help="all scenarios")
    run.add_argument("--subset", action="store_true", help="those `make test` runs")
    run.add_argument("--seed", type=int, help="of every choice; printed, and drawn when not given")
    run.add_argument("--json", action="store_true", help="print results as JSON, too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
