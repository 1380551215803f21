"""One run of the demo: pipeline up, jobs in, watch, verify, report, pipeline down."""

import asyncio
import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psycopg
from pydantic_settings import BaseSettings, SettingsConfigDict

from adapters.embedded.home import Home
from adapters.kafka.admin import require_epoch
from adapters.kafka.appender import KafkaAppender
from adapters.kafka.clock import BrokerClock
from adapters.kafka.reader import KafkaReader
from adapters.kafka.topology import route_map
from penstock.demo.checks import Finding, check_all
from penstock.demo.compare import Comparison, compare_table_with_log
from penstock.demo.evidence import Evidence, JobRow
from penstock.demo.orders import OrderTrial
from penstock.demo.orders_plan import OrderResult
from penstock.demo.plan import Plan, RunIdentity
from penstock.demo.report import Report, report_of
from penstock.demo.screen import Screen
from penstock.demo.sent import SentLedger
from penstock.demo.stack import Endpoints, Stack, app_environment
from penstock.demo.submit import BATCH_MAX, Submitter
from penstock.demo.table import RunTable
from penstock.demo.verify import RunStart, evidence_of, run_start, scan_rejected, scan_sent
from penstock.demo.watch import WatchEnd, Watcher

STALL_BEYOND_LEASE_S = 120.0
"""Nothing moving for a lease and this long means that nothing will: lost work comes back after a lease."""
DATABASE_PATIENCE_S = 120.0
"""How long the closing questions wait for a Postgres that is away."""
VERIFY_TIMEOUT_S = 300.0
"""The whole verification has this long, outages included."""
GENERATED_SLOTS = 32
REPLAY_SLOTS = 64
CLOCK_MARGIN_S = 300.0
"""How far the broker's clock may be behind this machine's; the run's label does the exact choice."""
_AGAIN_S = 0.5


class DemoError(Exception):
    """The run could not be brought to a verdict; the message says why."""


class DemoSettings(BaseSettings):
    """``PENSTOCK_*`` settings that the demo hands on to the executor and must know itself."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_", frozen=True, extra="ignore")

    workers: int = 2
    slots: int | None = None
    """None takes 32, and for a recording 64: replayed jobs only sleep, and a cluster had more machines."""
    lease_s: float = 45.0

    def slots_for(self, *, recording: bool) -> int:
        """Give the slots of one worker process."""
        return self.slots or (REPLAY_SLOTS if recording else GENERATED_SLOTS)


class DemoResult(NamedTuple):
    """What a run came to, and where its files are."""

    report: Report
    evidence: Evidence
    findings: Sequence[Finding]
    folder: Path
    orders: Sequence[OrderResult] = ()


@dataclass(frozen=True)
class Demo:
    """What a run is made of.

    Attributes
    ----------
    slots
        Jobs one worker process runs at once.
    outlives
        Leave the pipeline running at the end.
    order_seconds
        Length of each burst of the comparison of orders; None: orders are not compared.
    """

    home: Home
    plan: Plan
    settings: DemoSettings
    slots: int
    screen: Screen
    outlives: bool
    order_seconds: float | None = None
    seed: int = 0

    async def run(self) -> DemoResult:
        """Run everything.

        Raises
        ------
        penstock.demo.stack.StackError
            The pipeline could not be brought up.
        DemoError
            Kafka stayed away, so nothing could be verified.
        """
        environment = app_environment(
            os.environ,
            self.home.root / "app",
            self.plan.types,
            workers=self.settings.workers,
            slots=self.slots,
        )
        stack = Stack(self.home, environment, outlives=self.outlives)
        try:
            return await self._on(await stack.start(self.screen.step))
        finally:
            self.screen.say("stopping the pipeline" if not self.outlives else "the pipeline stays up")
            await stack.stop()

    async def _on(self, endpoints: Endpoints) -> DemoResult:
        folder, run = self._new_run()
        routes = route_map(endpoints.names)
        epoch = (await require_epoch(endpoints.kafka, routes)).epoch
        reader = KafkaReader(endpoints.kafka, client_id="penstock-demo")
        table = RunTable(endpoints.database.conninfo, run.run_id, time.time() - CLOCK_MARGIN_S)
        sent = SentLedger(folder / "sent.jsonl")
        pipeline = _Pipeline(endpoints, epoch, reader, table, sent, run)
        await reader.start()
        try:
            start = await run_start(reader, routes)
            end = await self._feed(pipeline, start)
            if end is WatchEnd.STALLED:
                self.screen.say("nothing has moved for a long time; verifying as it is")
            self.screen.say("verifying")
            evidence = await self._evidence_in_time(pipeline, start, folder)
        finally:
            sent.close()
            await table.close()
            await reader.close()
        findings = check_all(evidence)
        orders = await self._orders(endpoints)
        return DemoResult(report_of(evidence, findings), evidence, findings, folder, orders)

    async def _orders(self, endpoints: Endpoints) -> Sequence[OrderResult]:
        if self.order_seconds is None:
            return ()
        self.screen.say("comparing orders")
        trial = OrderTrial(
            endpoints,
            slots=self.settings.workers * self.slots,
            seconds=self.order_seconds,
            seed=self.seed,
            say=self.screen.say,
        )
        return await trial.run()

    def _new_run(self) -> tuple[Path, RunIdentity]:
        run_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        folder = self.home.root / "runs" / run_id
        folder.mkdir(parents=True)
        return folder, RunIdentity(run_id, str(folder / "effects.jsonl"))

    async def _feed(self, pipeline: "_Pipeline", start: RunStart) -> WatchEnd:
        """Submit everything, watching until all has ended."""
        appender = KafkaAppender(pipeline.endpoints.kafka, BrokerClock(), client_id="penstock-demo-submit")
        await appender.start()
        routes = route_map(pipeline.endpoints.names)
        submitter = Submitter(
            appender, pipeline.sent, pipeline.run, topic=routes.jobs, partitions=routes.partitions
        )
        watcher = Watcher(
            pipeline.table,
            submitter,
            self.screen.show,
            planned=len(self.plan.submissions),
            jobs=len(self.plan.jobs),
            slots=self.settings.workers * self.slots,
            stall_s=self.settings.lease_s + STALL_BEYOND_LEASE_S,
            metrics_ports=pipeline.endpoints.metrics_ports,
        )
        submitting = asyncio.create_task(self._submit(pipeline, submitter, start))
        try:
            with self.screen.live():
                return await watcher.until_ended(submitting)
        finally:
            submitting.cancel()
            await asyncio.wait({submitting})
            await _close_soon(appender)

    async def _submit(self, pipeline: "_Pipeline", submitter: Submitter, start: RunStart) -> None:
        """Submit all, then settle what nobody knows: what the log does not hold is sent once more."""
        began_s = time.monotonic()
        await submitter.submit_all(self.plan.submissions, lambda: time.monotonic() - began_s)
        doubtful = {index for batch in pipeline.sent.unknown().values() for index in batch}
        if not doubtful:
            return
        held = await scan_sent(pipeline.reader, start, self.plan, pipeline.run, pipeline.epoch)
        missing = [(i, self.plan.submissions[i]) for i in sorted(doubtful - held.found.keys())]
        for first in range(0, len(missing), BATCH_MAX):
            await submitter.send(missing[first : first + BATCH_MAX])

    async def _evidence_in_time(self, pipeline: "_Pipeline", start: RunStart, folder: Path) -> Evidence:
        try:
            async with asyncio.timeout(VERIFY_TIMEOUT_S):
                return await self._evidence(pipeline, start, folder)
        except TimeoutError:
            raise DemoError(
                f"the log could not be read back within {VERIFY_TIMEOUT_S:.0f} s; "
                f"what was sent stands in {folder / 'sent.jsonl'}"
            ) from None

    async def _evidence(self, pipeline: "_Pipeline", start: RunStart, folder: Path) -> Evidence:
        reader = pipeline.reader
        sent = await scan_sent(reader, start, self.plan, pipeline.run, pipeline.epoch)
        rejected = await scan_rejected(reader, start)
        compared = await self._comparison(pipeline)
        return evidence_of(
            plan=self.plan,
            sent=sent,
            acknowledged=pipeline.sent.places,
            rejected=rejected,
            rows=await self._rows(pipeline.table),
            effects_file=folder / "effects.jsonl",
            table_differences=compared.differences,
            table_problem=compared.problem,
        )

    async def _comparison(self, pipeline: "_Pipeline") -> Comparison:
        routes = route_map(pipeline.endpoints.names)
        conninfo = pipeline.endpoints.database.conninfo
        deadline_s = time.monotonic() + DATABASE_PATIENCE_S
        while True:
            try:
                return await compare_table_with_log(pipeline.reader, conninfo, routes, pipeline.epoch)
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline_s:
                    return Comparison(None, f"Postgres does not answer: {error}")
                await asyncio.sleep(_AGAIN_S)

    async def _rows(self, table: RunTable) -> dict[str, JobRow]:
        deadline_s = time.monotonic() + DATABASE_PATIENCE_S
        while True:
            try:
                return await table.rows()
            except psycopg.OperationalError:
                if time.monotonic() > deadline_s:
                    return {}
                await asyncio.sleep(_AGAIN_S)


class _Pipeline(NamedTuple):
    """One run's connections to a pipeline that runs."""

    endpoints: Endpoints
    epoch: str
    reader: KafkaReader
    table: RunTable
    sent: SentLedger
    run: RunIdentity


async def _close_soon(appender: KafkaAppender) -> None:
    """Close, but do not wait for a broker that never comes back."""
    try:
        async with asyncio.timeout(10):
            await appender.close()
    except TimeoutError:
        return
