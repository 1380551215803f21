"""``python -m tests.chaos.outage``: what jobs call goes down, with and without circuits side by side.

Three pipelines on one broker get the same jobs at the same time: in one circuits and retry budgets are
switched off, and exponential backoff with full jitter is alone; one is as it comes; one learns its delays.
Each calls an HTTP server of its own on the loopback address, which refuses everything during the outage,
and counts. Shares and factors hold on any machine; times only beside each other.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from adapters.embedded.home import write_atomically
from adapters.kafka.appender import appending
from core.ledger.notes import Accepted
from core.log import NewRecord
from core.states import TERMINAL, State
from schemas.ledger import LedgerFolds
from tests.chaos.report import machine
from tests.support.dependency import Dependency
from tests.support.flow import Flow
from tests.support.pipeline import pipeline
from tests.support.servers import session_servers

BUILD = Path("build/chaos-outage.json")
APP = """
import os
from urllib.error import HTTPError
from urllib.request import urlopen

from penstock import TransientError, task

def call(kind):
    try:
        urlopen(f"{os.environ['DEPENDENCY']}/{kind}", timeout=10).read()
    except HTTPError as error:
        raise TransientError(f"it answered {error.code}") from None

@task("five.tries", uses=["provider"], max_attempts=5)
def five(ctx, payload):
    call("five.tries")

@task("many.tries", uses=["provider"], max_attempts=50)
def many(ctx, payload):
    call("many.tries")
"""
ATTEMPTS = {"five.tries": 5, "many.tries": 50}
TYPES = tuple(ATTEMPTS)
"""A job of the first kind is given up after five tries; the second shows what retries cost without that."""
WARM_S = 30.0
AFTER_S = 30.0
"""The load goes on for so long after the outage."""
TICK_S = 0.2
LOOK_S = 10.0
TERMINAL_NAMES = frozenset(str(state) for state in TERMINAL)
THROUGH_WITHIN_S = 900.0
PEAK_S = 5.0
"""Peaks are means over this time."""
ALONE = "exponential"
ARMS = {
    ALONE: {"PENSTOCK_CIRCUITS": "off", "PENSTOCK_RETRY_BUDGET_WAIT_S": "0"},
    "safe": {},
    "learned": {"PENSTOCK_RETRY_POLICY": "learned"},
}


@dataclass(frozen=True)
class Plan:
    """How long, how much, and where what is started lives."""

    minutes: float
    rate_per_s: float
    directory: Path

    @property
    def outage_s(self) -> float:
        """Length of the outage, seconds."""
        return self.minutes * 60


class Arm:
    """One pipeline, and what its jobs call."""

    def __init__(self, name: str, flow: Flow, dependency: Dependency) -> None:
        self.name = name
        self.flow = flow
        self.dependency = dependency

    def is_at_work(self) -> bool:
        """Whether jobs run."""
        return self.dependency.counts["answered"] > 5


class Times(NamedTuple):
    """When the outage began and ended, by the wall and by the monotonic clock."""

    began_ms: int
    ended_ms: int
    began_s: float
    ended_s: float


class Job(NamedTuple):
    """What became of one job."""

    type: str
    accepted_ms: int
    state: str
    ended_ms: int


class Sender:
    """Sends the same jobs to all arms at a rate, from a thread of its own."""

    def __init__(self, arms: Sequence[Arm], rate_per_s: float) -> None:
        self._arms = arms
        self._rate_per_s = rate_per_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._send()), name="load", daemon=True)
        self.sent: Counter[str] = Counter()
        """By type, to each arm."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; returns when all are acknowledged."""
        self._stopping.set()
        self._thread.join(60)

    async def _send(self) -> None:
        kafka = self._arms[0].flow.piped.kafka
        async with appending(kafka, client_id="outage-load") as appender:
            began_s, turn = time.monotonic(), 0
            while not self._stopping.is_set():
                due = int((time.monotonic() - began_s) * self._rate_per_s) - turn
                types = [TYPES[(turn + number) % len(TYPES)] for number in range(due)]
                await appender.append([self._job(arm, one) for arm in self._arms for one in types])
                self.sent.update(types)
                turn += due
                await asyncio.sleep(TICK_S)

    def _job(self, arm: Arm, type_: str) -> NewRecord:
        routes = arm.flow.piped.routes
        partition = self.sent.total() % routes.partitions
        job = {"type": type_, "max_attempts": ATTEMPTS[type_]}
        return NewRecord(routes.jobs, partition, None, json.dumps(job).encode())


def run(plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the drill; give what was measured."""
    with ExitStack() as stack:
        data = plan.directory / "servers"
        data.mkdir()
        servers = stack.enter_context(session_servers(data))
        arms: list[Arm] = []
        for name, settings in ARMS.items():
            directory = plan.directory / name
            directory.mkdir(parents=True)
            dependency = stack.enter_context(Dependency())
            piped = stack.enter_context(pipeline(servers, f"outage.{name}.", directory))
            more = {"PENSTOCK_SLOTS": "16", "DEPENDENCY": dependency.url, **settings}
            # As deployed: on a machine that has no time for it, a short lease would end.
            more |= {"PENSTOCK_LEASE_S": "45", "PENSTOCK_HEARTBEAT_S": "3"}
            flow = stack.enter_context(Flow(piped, APP, **more))
            flow.start("executor")
            arms.append(Arm(name, flow, dependency))
        sender = Sender(arms, plan.rate_per_s)
        times = _break(plan, arms, sender, say)
        through = [_wait_until_through(arm, sender, say) for arm in arms]
        return {
            "plan": {"minutes": plan.minutes, "rate_per_s": plan.rate_per_s, "types": list(TYPES)},
            "machine": machine(),
            "arms": [_measured(arm, jobs, times, plan) for arm, jobs in zip(arms, through, strict=True)],
        }


def _break(plan: Plan, arms: Sequence[Arm], sender: Sender, say: Callable[[str], None]) -> Times:
    sender.start()
    for arm in arms:
        arm.flow.until(arm.is_at_work, f"{arm.name} at work", 180)
    _keep(arms, WARM_S)
    say(f"the outage begins: {plan.minutes:g} minutes at {plan.rate_per_s:g} jobs/s for each pipeline")
    began_ms, began_s = int(time.time() * 1000), time.monotonic()
    for arm in arms:
        arm.dependency.is_up = False
    _keep(arms, plan.outage_s)
    for arm in arms:
        arm.dependency.is_up = True
    times = Times(began_ms, int(time.time() * 1000), began_s, time.monotonic())
    say("the outage is over")
    _keep(arms, AFTER_S)
    sender.stop()
    return times


def _keep(arms: Sequence[Arm], seconds: float) -> None:
    """Let everything run on; a service that ends is started again."""
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        for arm in arms:
            arm.flow.until(lambda: True, "kept running")
        time.sleep(TICK_S)


def _wait_until_through(arm: Arm, sender: Sender, say: Callable[[str], None]) -> list[Job]:
    """Wait until every job has ended, or for so long; give them all."""
    until_s = time.monotonic() + THROUGH_WITHIN_S
    while True:
        jobs = jobs_of(arm)
        left = sender.sent.total() - sum(job.state in TERMINAL_NAMES for job in jobs)
        if left <= 0 or time.monotonic() > until_s:
            return jobs
        say(f"{arm.name}: {left} jobs to go")
        _keep([arm], LOOK_S)


def jobs_of(arm: Arm) -> list[Job]:
    """Give what the ledger says of all jobs."""
    piped = arm.flow.piped
    folds = LedgerFolds(piped.epoch.epoch, with_notes=True)
    found: dict[str, Job] = {}
    for folded in folds.take(piped.read(piped.routes.ledger)):
        event, outcome = folded.event, folded.outcome
        job = found.get(event.job_id, Job("", folded.timestamp_ms, "", 0))
        if isinstance(event, Accepted):
            job = job._replace(type=event.type or "", accepted_ms=folded.timestamp_ms)
        if outcome is not None and outcome.holds and outcome.state is not None:
            job = job._replace(state=str(outcome.state), ended_ms=folded.timestamp_ms)
        found[event.job_id] = job
    return list(found.values())


def _measured(arm: Arm, jobs: Sequence[Job], times: Times, plan: Plan) -> dict[str, Any]:
    calls = arm.dependency.calls_by_kind()
    return {
        "arm": arm.name,
        "services_ended": arm.flow.ends,
        "types": {
            type_: _of_type([job for job in jobs if job.type == type_], calls[type_], times, plan)
            for type_ in TYPES
        },
    }


def _of_type(
    jobs: Sequence[Job], calls: Sequence[tuple[float, bool]], times: Times, plan: Plan
) -> dict[str, Any]:
    offered = [job for job in jobs if times.began_ms <= job.accepted_ms <= times.ended_ms]
    before = [job for job in jobs if job.accepted_ms <= times.ended_ms]
    during = [at_s for at_s, _ in calls if times.began_s <= at_s <= times.ended_s]
    from_s = [at_s for at_s, _ in calls if at_s >= times.began_s]
    after = [at_s for at_s in from_s if at_s > times.ended_s]
    from_jobs = [job for job in jobs if job.accepted_ms >= times.began_ms]
    ends = [job.ended_ms for job in before if job.state in TERMINAL_NAMES]
    open_ = sum(job.state not in TERMINAL_NAMES for job in before)
    usual_per_s = plan.rate_per_s / len(TYPES)
    return {
        "offered_in_outage": len(offered),
        "calls_in_outage": len(during),
        "calls_in_outage_per_offered": ratio(len(during), len(offered)),
        "calls_per_job": ratio(len(from_s), len(from_jobs)),
        "failed_calls_per_job": ratio(
            sum(not ok for at_s, ok in calls if at_s >= times.began_s), len(from_jobs)
        ),
        "dead": sum(job.state == State.DEAD for job in jobs),
        "succeeded": sum(job.state == State.SUCCEEDED for job in jobs),
        "open_at_the_end": open_,
        "through_after_s": None if open_ or not ends else round((max(ends) - times.ended_ms) / 1000, 1),
        "first_good_call_after_s": round(min(after, default=times.ended_s) - times.ended_s, 1),
        "peak_after_per_s": round(peak(after), 1),
        "peak_after_by_load": ratio(peak(after), usual_per_s),
    }


def ratio(part: float, whole: float) -> float | None:
    """Divide; None when there is nothing to divide by."""
    return round(part / whole, 4) if whole else None


def peak(times_s: Sequence[float], within_s: float = PEAK_S) -> float:
    """Give the most of these a second, as a mean over any such time."""
    first, most = 0, 0
    ordered = sorted(times_s)
    for last, at_s in enumerate(ordered):
        while ordered[first] <= at_s - within_s:
            first += 1
        most = max(most, last - first + 1)
    return most / within_s


def table_of(found: dict[str, Any]) -> Table:
    """Give what was measured as a table: a line for each arm and type."""
    table = Table(title="outage")
    columns = (
        "dead",
        "calls_in_outage_per_offered",
        "calls_per_job",
        "through_after_s",
        "peak_after_by_load",
    )
    for column in ("arm", "type", *columns):
        table.add_column(column)
    for arm in found["arms"]:
        for type_, values in arm["types"].items():
            table.add_row(arm["arm"], type_, *(str(values[column]) for column in columns))
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, write ``build/chaos-outage.json``, print a table; 1 when a bar was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.outage", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="length of the outage (2)")
    parser.add_argument("--rate", type=float, default=10.0, help="jobs a second for each pipeline (10)")
    asked = parser.parse_args(arguments)
    console = Console(stderr=True, highlight=False)
    with tempfile.TemporaryDirectory(prefix="outage-") as directory:
        found = run(Plan(asked.minutes, asked.rate, Path(directory)), console.print)
    BUILD.parent.mkdir(exist_ok=True)
    write_atomically(BUILD, json.dumps(found, indent=2).encode())
    console.print(table_of(found))
    missed = bars_missed(found)
    for one in missed:
        console.print(f"missed: {one}")
    return 1 if missed else 0


AMPLIFICATION_MAX = 1.1
PEAK_MAX = 4.0
"""After the outage the load goes on and the backlog is worked off beside it."""


def bars_missed(found: dict[str, Any]) -> list[str]:
    """Say which bars the arms with circuits missed."""
    missed: list[str] = []
    judged = [arm for arm in found["arms"] if arm["arm"] != ALONE]
    for name, type_, values in ((arm["arm"], *item) for arm in judged for item in arm["types"].items()):
        said = f"{name}, {type_}"
        if values["dead"]:
            missed.append(f"{said}: {values['dead']} jobs are dead")
        if values["open_at_the_end"]:
            missed.append(f"{said}: {values['open_at_the_end']} jobs have not ended")
        if (values["calls_per_job"] or 0.0) > AMPLIFICATION_MAX:
            missed.append(f"{said}: {values['calls_per_job']} calls for each job")
        if (values["peak_after_by_load"] or 0.0) > PEAK_MAX:
            missed.append(f"{said}: {values['peak_after_by_load']} times the load after the outage")
    return missed


if __name__ == "__main__":
    sys.exit(main())
