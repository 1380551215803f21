"""``penstock demo``: watch jobs flow, then verify that none was lost or run twice."""

import asyncio
import itertools
import json
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from adapters.embedded.home import Home
from adapters.kafka.admin import EpochError
from adapters.recordings.rows import TraceFormatError
from penstock.demo.generate import generate
from penstock.demo.orders import OrdersError
from penstock.demo.orders_report import as_json as orders_json
from penstock.demo.orders_report import orders_table
from penstock.demo.plan import Plan
from penstock.demo.replay_plan import replay_plan
from penstock.demo.report import as_json as report_json
from penstock.demo.report import summary
from penstock.demo.run import Demo, DemoError, DemoResult, DemoSettings
from penstock.demo.screen import Screen
from penstock.demo.stack import StackError
from penstock.demo.traces import read_trace

DEFAULT_DATA = Path(".penstock/demo")
DEFAULT_JOBS = 2000
DEFAULT_SEED = 7
ORDER_SECONDS = 6.0
_INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo", help="Watch jobs flow, then verify that none was lost or run twice.")(demo)


def demo(
    trace: Annotated[
        Path | None, typer.Option(help="Replay this recording (Google 2011 CSV or SWF, packed or not).")
    ] = None,
    speed: Annotated[
        float | None, typer.Option(help="Recorded seconds per second; chosen to last about a minute.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="How many jobs.")] = DEFAULT_JOBS,
    skip: Annotated[int, typer.Option(min=0, help="Leave out so many rows of the recording first.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the generated jobs.")] = DEFAULT_SEED,
    data: Annotated[Path, typer.Option(help="Directory that keeps everything.")] = DEFAULT_DATA,
    orders: Annotated[
        bool, typer.Option(help="Then compare orders: of arrival, the rule, running means, a trained model.")
    ] = True,
    order_seconds: Annotated[
        float, typer.Option(min=1, max=120, help="How long the slots need for one burst of that comparison.")
    ] = ORDER_SECONDS,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the pipeline running at the end.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object at the end; progress goes to stderr.")
    ] = False,
) -> None:
    """Bring a pipeline up, send jobs through it, and verify that none was lost or run twice.

    Exit code 0 only if the verification held. A Kafka in PENSTOCK_KAFKA_BOOTSTRAP and a Postgres in
    PENSTOCK_DATABASE_URL are used instead of embedded ones.
    """
    if speed is not None and speed <= 0:
        raise typer.BadParameter(f"--speed is {speed:g}; it must be above zero")
    console = Console(stderr=as_json, highlight=False)
    # The view says when Kafka is away; the client's own lines would tear it.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    settings = DemoSettings()
    try:
        plan = _plan(trace, speed, jobs, skip, seed, settings)
        for note in plan.notes:
            console.print(note, markup=False)
        home = Home(data.resolve())
        slots = settings.slots_for(recording=trace is not None)
        demo = Demo(
            home,
            plan,
            settings,
            slots,
            Screen(console),
            outlives=keep,
            order_seconds=order_seconds if orders and trace is None else None,
            seed=seed,
        )
        result = asyncio.run(demo.run())
    except (TraceFormatError, StackError, EpochError, DemoError, OrdersError) as error:
        typer.echo(f"penstock demo: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None
    _print_result(result, console, data, keep=keep, as_json=as_json)
    raise typer.Exit(0 if result.report.verified else 1)


def _plan(
    trace: Path | None, speed: float | None, jobs: int, skip: int, seed: int, settings: DemoSettings
) -> Plan:
    if trace is None:
        return generate(jobs, seed)
    rows = list(itertools.islice(read_trace(trace), skip, skip + jobs))
    if not rows:
        raise TraceFormatError(f"{trace} has no rows" + (f" after the first {skip}" if skip else ""))
    return replay_plan(rows, speed=speed, slots=settings.workers * settings.slots_for(recording=True))


def _print_result(result: DemoResult, console: Console, data: Path, *, keep: bool, as_json: bool) -> None:
    if as_json:
        found = report_json(result.report, result.evidence, result.findings)
        sys.stdout.write(json.dumps(found | {"orders": orders_json(result.orders)}) + "\n")
        return
    steps = next_steps(result, data, keep=keep)
    console.print(summary(result.report, result.evidence, result.findings, steps))
    if result.orders:
        console.print(orders_table(result.orders))


def next_steps(result: DemoResult, data: Path, *, keep: bool) -> list[str]:
    """Give commands worth trying after a run."""
    option = f"--data {data}"
    steps = [] if keep else ["# the same pipeline again, with these jobs", f"penstock up --detach {option}"]
    return [
        *steps,
        f"penstock list --state dead {option}",
        f'penstock sql {option} "TABLE v1_attempts"',
        f"penstock down {option}",
        "# what was sent, and what the tasks did",
        f"ls {data / 'runs' / result.folder.name}",
    ]
