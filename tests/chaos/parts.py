"""The parts every run is put together from: load, watch and evidence over one stack."""

import asyncio
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from core.log import TopicPartition
from penstock.demo.sent import SendOutcome
from tests.chaos.audit import Audit
from tests.chaos.commits import read_commits
from tests.chaos.effects import read_marks
from tests.chaos.evidence import Clocks, Evidence, Overlaps, SendProblem
from tests.chaos.history import boot_s
from tests.chaos.leaks import leaks_of_services
from tests.chaos.load import Load, LoadRunner
from tests.chaos.stack import Stack
from tests.chaos.watch import LOOK_EVERY_S, OffsetLog, OffsetWatch, TablePositions

SAMPLED_ABOVE_JOBS = 20_000
"""From this many jobs on, only a share of them is folded again with repetitions."""


def watch_of(stack: Stack, every_s: float = LOOK_EVERY_S) -> OffsetWatch:
    """Make the watch over the committed offsets of all services that commit."""
    routes = stack.routes
    services = ("ingest", "scheduler", "prioritizer", "dlq_handler", "materializer")
    groups = [routes.group(name) for name in services]
    groups += [routes.group(f"executor.{pool}") for pool in routes.pools]
    executions = [topic for pool in routes.pools for topic in routes.executions(pool)]
    outputs = [
        TopicPartition(topic, number)
        for topic in (
            *(routes.ledger, routes.rejected, routes.workflows, routes.orders, routes.held, routes.ready),
            *routes.delays,
            *executions,
        )
        for number in range(routes.partitions)
    ]
    table = TablePositions(stack.database.conninfo, stack.epoch)
    return OffsetWatch(stack.kafka, groups, outputs, table, every_s)


def load_of(stack: Stack, load: Load, seed: int) -> LoadRunner:
    """Make a load for this stack."""
    return LoadRunner(
        load,
        seed,
        kafka=stack.kafka,
        database=stack.database,
        names=stack.names,
        ledger=stack.sent,
        history=stack.history,
    )


def evidence_of(
    stack: Stack,
    audit: Audit,
    offsets: OffsetLog,
    *,
    since_boot_s: float = 0.0,
    overlaps: Overlaps = Overlaps.FORBIDDEN,
    clocks: Clocks = Clocks.AGREE,
    rewinds: frozenset[str] = frozenset(),
    silences_s: Mapping[str, float] = MappingProxyType({}),
) -> Evidence:
    """Put together what the audit gathered last and what the services show now."""
    commits = asyncio.run(read_commits(stack.kafka))
    if offsets.sightings and not commits.commits:
        raise RuntimeError("no commit was found in the broker's log of them: its records are of another kind")
    problems = [
        SendProblem(send, SendOutcome(outcome), count, place)
        for send, outcome, count, place in audit.book.send_problems()
    ]
    return Evidence(
        cases=audit.book.cases,
        routes=stack.routes,
        sends=problems,
        table_problem=audit.table_problem,
        watch=offsets,
        commits=commits,
        marks=read_marks(stack.marks),
        leaks=[*audit.leaks, *leaks_of_services(stack)],
        history=[one for one in stack.history.lines if one.at_boot_s >= since_boot_s],
        overlaps=overlaps,
        clocks=clocks,
        boot_ms=1000 * (time.time() - boot_s()),
        rewinds=rewinds,
        has_gaps=bool(audit.unread),
        silences_s=silences_s,
        lease_s=stack.spec.lease_s,
        samples=1 + audit.book.touched() // SAMPLED_ABOVE_JOBS,
    )


def keep(stack: Path, kept: Path) -> str:
    """Copy logs and evidence of a stopped stack to where people find them; give the place."""
    shutil.rmtree(kept, ignore_errors=True)
    if not stack.exists():
        return ""
    left_out = shutil.ignore_patterns("data", "postgres", "postgres.new", "marks")
    shutil.copytree(stack, kept, ignore=left_out)
    return str(kept)
