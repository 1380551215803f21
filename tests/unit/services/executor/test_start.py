"""Claims that were read back while the executor stops."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from core.ledger.verdicts import Claimed, Released
from core.log import Appended, NewRecord, Record
from penstock.identity import home
from penstock.worker.frames import StartJob
from schemas.accepted_job import AcceptedJob, QueuedJob
from schemas.codec import decode_event, ledger_record
from schemas.executors import dispatch_key
from schemas.ledger import LedgerFolds
from schemas.topics import RouteMap
from services.executor.follow import ReadClaim, claims_of
from services.executor.held import Held, HeldJob, Stage
from services.executor.parents import Parents, ParentsGiven
from services.executor.start import Starter
from tests.support.executor import executor_context

ROUTES = RouteMap()
BOOT_ID = "executor-0:boot"
JOB = AcceptedJob(
    origin="e:0:7",
    job_id="01234567-89ab-7def-8123-456789abcdef",
    type="email.send",
    tenant="default",
    pool="default",
    payload=msgspec.Raw(b"{}"),
    priority=5,
    submitted_ms=1,
    timeout_s=300,
    max_attempts=5,
    body_hash="0" * 16,
    trace_id="0" * 32,
)
OTHER = msgspec.structs.replace(JOB, origin="e:0:8", job_id="01234567-89ab-7def-8123-456789abcdee")
PARTITION = home(JOB.job_id, ROUTES.partitions)


class Workers:
    """A pool that notes what it is given, and like the real one takes nothing once it stops."""

    def __init__(self) -> None:
        self.is_stopping = False
        self.policies: dict[str, object] = {}
        self.started: list[StartJob] = []

    def submit(self, jobs: list[StartJob]) -> None:
        if self.is_stopping:
            raise ValueError("the pool stops; give the jobs back")
        self.started += jobs


class Ledger:
    def __init__(self) -> None:
        self.records: list[NewRecord] = []

    async def append(self, records: list[NewRecord]) -> list[Appended]:
        self.records += records
        return [Appended(index, 1) for index in range(len(records))]


class Results:
    """Results of parents, given when the test says so."""

    def __init__(self) -> None:
        self.given = asyncio.Event()
        self.are_read = asyncio.Event()

    async def read(self, job: AcceptedJob) -> ParentsGiven:
        await self.given.wait()
        return ParentsGiven({job_id: b"%d" % offset for job_id, offset in job.parent_results.items()})


@pytest.fixture
def results() -> Results:
    return Results()


@pytest.fixture
def workers() -> Workers:
    return Workers()


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.fixture
def starter(workers: Workers, ledger: Ledger, held: Held, results: Results) -> Starter:
    """A starter that has read back one claim that holds."""
    context = executor_context(ROUTES, cast("Any", ledger))
    folds = LedgerFolds("e", with_notes=False)
    leased = SimpleNamespace(boot_id=BOOT_ID, holds=True, lease_s=45.0)
    parents = Parents(cast("Any", results), results.are_read.set)
    starter = Starter(context, folds, held, cast("Any", leased), cast("Any", workers), lambda _: 1, parents)
    held.add(HeldJob(QueuedJob(JOB, 1, 0, 0.0), PARTITION, 1.0))
    claim = ledger_record(ROUTES, Claimed(JOB.origin, JOB.job_id, 1, BOOT_ID, "jobs.exec.default.b0", 0, 0))
    events = folds.take([Record(claim.topic, claim.partition, 0, 1, claim.key, claim.value, claim.headers)])
    starter.read_back(claims_of(events, BOOT_ID))
    return starter


def test_a_claim_that_was_read_back_starts(starter: Starter, workers: Workers) -> None:
    assert starter.start_ready() == []
    assert [job.job_id for job in workers.started] == [JOB.job_id]


async def test_a_claim_read_back_while_the_executor_stops_is_handed_back(
    starter: Starter, workers: Workers, ledger: Ledger, held: Held
) -> None:
    workers.is_stopping = True

    refused = starter.start_ready()

    assert [(one.key, one.stage) for one in refused] == [("e:0:7/1", Stage.CLAIMING)]
    await starter.hand_back(refused, "executor stops")
    [released] = ledger.records
    record = Record(released.topic, released.partition, 1, 1, released.key, released.value, released.headers)
    assert isinstance(decode_event(record), Released)
    assert len(held) == 0


def test_an_older_claim_of_a_job_that_was_let_go_and_claimed_again_starts_nothing(
    starter: Starter, workers: Workers, held: Held
) -> None:
    held.add(HeldJob(QueuedJob(OTHER, 1, 0, 0.0), PARTITION, 1.0, claim_seq=2))
    key = dispatch_key(OTHER.origin, 1)
    starter.read_back([ReadClaim(key, 1, holds=True)])
    starter.start_ready()
    assert OTHER.job_id not in [job.job_id for job in workers.started]
    starter.read_back([ReadClaim(key, 2, holds=False)])
    assert held.get(key) is None


async def test_a_child_starts_with_the_results_of_its_parents_once_they_are_read(
    starter: Starter, workers: Workers, held: Held, results: Results
) -> None:
    child = msgspec.structs.replace(OTHER, workflow_id="w", parent_results={JOB.job_id: 7})
    one = HeldJob(QueuedJob(child, 1, 0, 0.0), PARTITION, 1.0, claim_seq=1)
    held.add(one)
    claim = Claimed(child.origin, child.job_id, 1, BOOT_ID, "jobs.exec.default.b0", 0, 0, seq=1)
    starter._folds.fold(PARTITION).apply(1, 1, claim)
    starter.read_back([ReadClaim(one.key, 1, holds=True)])
    starter.start_ready()
    assert [job.job_id for job in workers.started] == [JOB.job_id]
    results.given.set()
    await results.are_read.wait()
    starter.start_ready()
    assert workers.started[1].parents == {JOB.job_id: b"7"}
    assert workers.started[1].workflow_id == "w"
