"""What is appended for a dispatch whose time may be over, and when that is said."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import msgspec
import pytest

from adapters.memory.appender import MemoryAppender
from adapters.memory.broker import MemoryBroker
from core.learning.events import DID_NOT_RUN, Ended, Status
from core.ledger.verdicts import Action, Cancel, Claimed, Decided, Expired, Failed, Verdict
from core.log import Record, TopicPartition
from penstock.identity import home
from schemas.accepted_job import AcceptedJob, QueuedJob
from schemas.codec import decode_if_verdict
from schemas.ledger import LedgerFolds
from schemas.topics import RouteMap
from services.executor.claim import CANCELLED_MAX, Claimer
from services.executor.context import ExecutorContext
from services.executor.held import Held, WaitingJob
from tests.support.executor import executor_context

ROUTES = RouteMap(partitions=1)
NOW_MS = 1_000_000
JOB_ID = "01890000-0000-7000-8000-000000000007"
LEDGER = TopicPartition(ROUTES.ledger, 0)


class OneJob:
    """A queue that holds one dispatch."""

    def __init__(self, waiting: WaitingJob) -> None:
        self.waiting = [waiting]

    def take(self, wanted: int, fits: Callable[[WaitingJob], bool]) -> list[WaitingJob]:
        taken = [waiting for waiting in self.waiting[:wanted] if fits(waiting)]
        self.waiting = []
        return taken

    def handled(self, jobs: Iterable[WaitingJob]) -> None: ...

    def shed(self, is_over: Callable[[WaitingJob], bool]) -> None: ...


async def appended(expires_at_ms: int | None, n: int, *before: Verdict) -> Verdict | None:
    """What an executor appends for dispatch ``n``, after these verdicts."""
    return (await tried(expires_at_ms, n, *before)).appended


class Tried(NamedTuple):
    """What an executor appends for a dispatch, and how it tells learning that it ended."""

    appended: Verdict | None
    told: list[Status]


class Made(NamedTuple):
    """A claimer with one dispatch to claim, and what it works on."""

    claimer: Claimer
    broker: MemoryBroker
    context: ExecutorContext
    waiting: WaitingJob


async def tried(expires_at_ms: int | None, n: int, *before: Verdict, cancelled: Sequence[str] = ()) -> Tried:
    claimer, broker, context, waiting = made(expires_at_ms, n, *before)
    claimer.cancelled(cancelled)
    await claimer._claim_once()
    claimer.is_over(waiting)
    records = broker.read(LEDGER, 0, 10)
    ends = [report.event for report in context.outcomes._reports]
    told = [end.status for end in ends if isinstance(end, Ended) and end.run_ms == DID_NOT_RUN]
    return Tried(decode_if_verdict(records[0]) if records else None, told)


def made(
    expires_at_ms: int | None = None, n: int = 1, *before: Verdict, looked: Callable[[], None] = lambda: None
) -> Made:
    job = AcceptedJob("e:0:7", JOB_ID, "t", "default", "default", msgspec.Raw(b"{}"), 5, 0, 10.0, 3, "", "")
    job = msgspec.structs.replace(job, expires_at_ms=expires_at_ms, n=n)
    broker, folds = MemoryBroker(lambda: NOW_MS), LedgerFolds("e", with_notes=False)
    broker.create_topic(ROUTES.ledger, 1)
    for offset, verdict in enumerate(before):
        assert folds.fold(0).apply(offset, NOW_MS - 10, verdict).holds
    context = executor_context(ROUTES, MemoryAppender(broker), lambda: NOW_MS, lambda: NOW_MS / 1000)
    record = Record(ROUTES.execution("default", 0), 0, 3, NOW_MS, None, b"", ())
    waiting = WaitingJob(QueuedJob(job, NOW_MS, 0, 0.0), record)
    claimer = Claimer(
        context,
        folds,
        OneJob(waiting),
        Held(),
        cast("Any", SimpleNamespace(boot_id="executor-0:boot", may_claim=True)),
        cast("Any", SimpleNamespace(free_slots=4, policies={})),
        lambda partition: partition == home(JOB_ID, ROUTES.partitions),
        looked=looked,
    )
    return Made(claimer, broker, context, waiting)


@pytest.mark.parametrize(
    ("expires_at_ms", "expected"),
    [(None, Claimed), (NOW_MS + 1, Claimed), (NOW_MS, Expired), (NOW_MS - 5000, Expired)],
)
async def test_a_job_whose_time_is_over_is_not_claimed_for_the_first_time_though_its_alarm_is_late(
    expires_at_ms: int | None, expected: type[Verdict]
) -> None:
    assert isinstance(await appended(expires_at_ms, 1), expected)


async def test_a_job_that_was_claimed_once_is_claimed_again_whatever_the_time() -> None:
    started = Claimed("e:0:7", JOB_ID, 1, "x", "t", 0, 0)
    failed = Failed("e:0:7", JOB_ID, 1, "x", 0, 0.1, "transient", "E", "no", 0)
    again = Decided("e:0:7", JOB_ID, 1, Action.RETRY, "backoff", 0)
    claim = await appended(NOW_MS - 1, 2, started, failed, again)
    assert isinstance(claim, Claimed)
    assert claim.n == 2


async def test_nothing_is_appended_for_a_job_that_has_expired() -> None:
    assert await appended(NOW_MS - 1, 1, Expired("e:0:7", JOB_ID)) is None


async def test_after_every_look_its_claims_are_in_the_log() -> None:
    """Who follows the ledger for them reads them, and what came before, in one answer."""
    stopping = asyncio.Event()
    appended_at: list[int] = []

    def looked() -> None:
        appended_at.append(len(one.broker.read(LEDGER, 0, 10)))
        if len(appended_at) == 2:
            stopping.set()

    one = made(looked=looked)
    one.claimer.wake.set()
    async with asyncio.timeout(5):
        await one.claimer.run(stopping)
    assert appended_at == [1, 1]


async def test_learning_is_told_once_of_what_expired_or_was_cancelled_in_the_queue() -> None:
    cancel = Cancel("e:0:7", JOB_ID, "test")
    assert await tried(NOW_MS - 1, 1) == (Expired("e:0:7", JOB_ID), [Status.EXPIRED])
    assert (await tried(None, 1)).told == []
    assert await tried(None, 1, cancel, cancelled=[JOB_ID]) == (None, [Status.CANCELLED])
    # Cancelled before this executor followed the ledger, or ended elsewhere: whoever was there tells.
    assert await tried(None, 1, cancel) == (None, [])


def test_the_ids_of_cancelled_jobs_are_remembered_up_to_a_bound() -> None:
    claimer = Claimer(*[cast("Any", None)] * 7)
    claimer.cancelled(str(number) for number in range(CANCELLED_MAX + 5))
    assert len(claimer._cancelled) == CANCELLED_MAX
    assert "4" not in claimer._cancelled
