"""``python -m tests.chaos``: list scenarios, run them, say what was violated."""

import argparse
import logging
import os
import secrets
import signal
import sys
import time
from pathlib import Path

from rich.console import Console

from tests.chaos.report import (
    SHOWN_VIOLATIONS,
    as_json,
    said_of,
    soak_json,
    soak_table,
    table_of,
    write_report,
    write_soak,
)
from tests.chaos.rig.leftovers import remove_leftovers
from tests.chaos.rig.patience import ENVIRONMENT_NAME, PATIENCE, factor_of
from tests.chaos.run import Result, Runner
from tests.chaos.scenario import Scenario
from tests.chaos.scenarios.catalog import ALL, BY_NAME, in_running_order
from tests.chaos.soak import Soak, SoakPlan

BUILD = Path("build")
console = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 180)


def main(arguments: list[str] | None = None) -> int:
    """Give the exit status: 1 when anything was violated."""
    asked = _parser().parse_args(arguments)
    if asked.command == "list":
        for scenario in ALL:
            sys.stdout.write(f"{scenario.name:28} {scenario.fault:10} {scenario.summary}\n")
        return 0
    # A default SIGTERM would leave the finally blocks out; Ctrl-C does not.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    PATIENCE.factor = asked.patience
    seed = secrets.randbelow(1_000_000) if asked.seed is None else asked.seed
    return _soak(asked, seed) if asked.command == "soak" else _run(asked, seed)


def _run(asked: argparse.Namespace, seed: int) -> int:
    chosen = ALL if asked.all else tuple(BY_NAME[name] for name in asked.names)
    if asked.subset:
        chosen = tuple(scenario for scenario in ALL if scenario.subset)
    if not chosen:
        sys.stderr.write("name scenarios, or ask for --all or --subset; `list` shows them\n")
        return 2
    results = run_all(in_running_order(chosen), seed, BUILD / "chaos")
    console.print(table_of(results))
    if asked.json:
        for result in results:
            console.print_json(data=as_json(result))
    return 1 if any(not result.holds for result in results) else 0


def _soak(asked: argparse.Namespace, seed: int) -> int:
    directory = BUILD / "chaos"
    _prepare(directory)
    _say(f"soak of {asked.minutes:g} minutes at {asked.rate:g}/s --seed {seed}")
    result = Soak(SoakPlan(asked.minutes, seed, asked.rate), (directory / "soak").resolve(), _say).run()
    write_soak(BUILD / "chaos.json", result)
    console.print(soak_table(result))
    for violation in result.findings.violations[:SHOWN_VIOLATIONS]:
        _say(f"  {said_of(violation)}")
    if result.kept:
        _say(f"logs and evidence: {result.kept}")
    if asked.json:
        console.print_json(data=soak_json(result))
    return 0 if result.holds else 1


def run_all(scenarios: list[Scenario], seed: int, directory: Path) -> list[Result]:
    """Run scenarios one after the other, saying what happens."""
    _prepare(directory)
    runner = Runner(directory.resolve(), _say)
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


def _prepare(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name in remove_leftovers():
        _say(f"removed {name}, which a killed run left")
    _log_to(directory / "driver.log")


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
    soak = commands.add_parser("soak", help="strike at random under a load that does not pause")
    soak.add_argument("--minutes", type=float, default=30.0, help="how long the load runs (%(default)g)")
    soak.add_argument("--rate", type=float, default=200.0, help="jobs a second (%(default)g)")
    for command in (run, soak):
        command.add_argument("--seed", type=int, help="of every choice; printed, and drawn when not given")
        command.add_argument("--json", action="store_true", help="print results as JSON, too")
        command.add_argument(
            "--patience",
            type=factor_of,
            default=os.environ.get(ENVIRONMENT_NAME, "1"),
            metavar="FACTOR",
            help="wait so many times as long before calling anything stuck, for a busy or slow machine "
            f"({ENVIRONMENT_NAME}, or 1)",
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
