"""One comparison: install, then every peer in turn, round after round."""

import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks.machine import new_directory, this_machine
from benchmarks.peers import kits, penstock, stand
from benchmarks.peers.apps.effects import PAYLOAD_BYTES
from benchmarks.peers.catalog import BUILD, BY_NAME
from benchmarks.peers.figures import PENSTOCK, Run, Workload, order, summaries
from benchmarks.peers.options import Options
from benchmarks.peers.results import Asked, Comparison, Measured, Skipped
from benchmarks.peers.stand import Found

NAMES = (PENSTOCK, *BY_NAME)

Say = Callable[[str], None]


class Standing(Protocol):
    """A peer that waits for work."""

    async def backlog(self, jobs: int) -> Found:
        """Submit so many at once and wait for the last final state."""

    async def rate(self, per_s: float, seconds: float) -> Found:
        """Submit at a rate and give how long after its time each job came how far."""


@dataclass
class _Books:
    """What is known so far."""

    runs: list[Run] = field(default_factory=list)
    measured: dict[str, Measured] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)


async def compare(options: Options, say: Say) -> Comparison:
    """Measure the peers that were asked for; those that cannot be are skipped, with reason and remedy."""
    machine, books = this_machine(), _Books()
    ready = [name for name in options.peers if _is_ready(name, books, say)]
    for number, name in order(ready, options.repeats):
        say(f"round {number + 1} of {options.repeats}: {name}")
        await _turn(name, number, options, books, say)
    return Comparison(
        machine,
        Asked(options.jobs, options.per_s, options.seconds, options.repeats, PAYLOAD_BYTES),
        tuple(books.measured.values()),
        tuple(books.skipped),
        tuple(summaries(books.runs)),
        tuple(books.runs),
    )


def _is_ready(name: str, books: _Books, say: Say) -> bool:
    """Install what is not there; a peer that cannot be is skipped."""
    if name == PENSTOCK:
        return True
    peer = BY_NAME[name]
    skipped = kits.missing(peer)
    if skipped is None:
        if not kits.is_installed(peer.kit):
            say(f"installing for {name} ({peer.kit})")
        try:
            kits.install(peer.kit)
        except kits.InstallError as error:
            skipped = Skipped(name, str(error), "mend what it names, and run again")
    if skipped is not None:
        say(f"SKIPPED {name}: {skipped.reason}; {skipped.remedy}")
        books.skipped.append(skipped)
    return skipped is None


async def _turn(name: str, number: int, options: Options, books: _Books, say: Say) -> None:
    """Bring one peer up on new data, run both workloads, and take it down."""
    data = new_directory(name, BUILD / "runs")
    load = round(os.getloadavg()[0], 2)
    workload = Workload.THROUGHPUT
    try:
        async with _standing(name, data) as (standing, measured):
            books.measured[name] = measured
            await standing.backlog(options.warm_up)
            found = await standing.backlog(options.jobs)
            books.runs.append(_run(name, workload, number, options.jobs, load, found))
            load, workload = round(os.getloadavg()[0], 2), Workload.LATENCY
            jobs = round(options.per_s * options.seconds)
            found = await standing.rate(options.per_s, options.seconds)
            books.runs.append(_run(name, workload, number, jobs, load, found))
    except Exception as error:
        # Whatever goes wrong with one peer, the figures of the others must not be lost.
        reason = str(error) or repr(error)
        say(f"INVALID {name}: {reason}; logs are in {data}")
        jobs = options.jobs if workload is Workload.THROUGHPUT else round(options.per_s * options.seconds)
        books.runs.append(_run(name, workload, number, jobs, load, Found({}, {}, reason)))
        return
    for run in books.runs[-2:]:
        if run.invalid:
            say(f"INVALID {name}, {run.workload}: {run.invalid}; logs are in {data}")
            return
    shutil.rmtree(data, ignore_errors=True)


def _run(name: str, workload: Workload, number: int, jobs: int, load: float, found: Found) -> Run:
    return Run(name, workload, number, jobs, load, found.figures, found.cpu_ms_by_process, found.invalid)


@asynccontextmanager
async def _standing(name: str, data: Path) -> AsyncIterator[tuple[Standing, Measured]]:
    if name == PENSTOCK:
        async with penstock.standing(data) as (pipeline, versions):
            yield pipeline, Measured(name, penstock.FINAL_STATE, versions)
    else:
        peer = BY_NAME[name]
        async with stand.standing(peer, data) as (peers, versions):
            yield peers, Measured(name, peer.final_state, versions)
