"""What the next dispatch, and a redriven job, remember of attempts before."""

import msgspec

from core.fault import FaultClass
from core.ledger.open_job import OpenJob
from core.ledger.verdicts import Action, Decided, Redriven
from core.log import Coordinate, Record
from schemas.accepted_job import PAST_MESSAGE_MAX_CHARS, AcceptedJob, FailedAttempt
from schemas.codec import decode_accepted
from schemas.topics import RouteMap
from services.dlq_handler.decide import Reopened, Uncarried, carried_out, handed_on

ROUTES = RouteMap(partitions=1)
NOW_MS = 1_700_000_000_000
ORIGIN, JOB_ID = "e:0:7", "00000000-0000-4000-8000-000000000001"
JOB = AcceptedJob(ORIGIN, JOB_ID, "t", "default", "default", msgspec.Raw(b"{}"), 5, 0, 10.0, 3, "0", "0")
RETRY = Decided(ORIGIN, JOB_ID, 1, Action.RETRY, "again", due_ms=NOW_MS)
SOURCE = Coordinate(ROUTES.dlq, 0, 5)
ITEM = Uncarried(RETRY, NOW_MS, OpenJob(JOB_ID, failures=1), SOURCE, FaultClass.TRANSIENT)


def attempt(job: AcceptedJob, message: str) -> FailedAttempt:
    return FailedAttempt(job, "x", "transient", "Boom", message, NOW_MS, traceback="tb")


def following(item: Uncarried, failed: FailedAttempt) -> AcceptedJob:
    record = carried_out(item, failed, ROUTES, NOW_MS)
    return decode_accepted(Record(record.topic, 0, 0, NOW_MS, None, record.value, ()))


def test_the_next_dispatch_remembers_the_one_that_failed() -> None:
    (past,) = following(ITEM, attempt(JOB, "m" * 999)).past
    assert (past.n, past.executor, past.error_class, past.error_type) == (1, "x", "transient", "Boom")
    assert (past.failed_ms, len(past.message)) == (NOW_MS, PAST_MESSAGE_MAX_CHARS)


def test_a_dispatch_that_was_handed_back_is_no_attempt() -> None:
    assert following(ITEM._replace(fault=None), attempt(JOB, "back")).past == ()


def test_a_redriven_job_remembers_what_it_died_of() -> None:
    second = following(ITEM, attempt(JOB, "first"))
    verdict = Redriven(ORIGIN, JOB_ID, 3, ROUTES.dead, 0, 9, "desk")
    (record,) = handed_on(Reopened(verdict, SOURCE), attempt(second, "second"), ROUTES, NOW_MS)
    job = decode_accepted(Record(record.topic, 0, 0, NOW_MS, None, record.value, ()))
    assert [(past.n, past.message) for past in job.past] == [(1, "first"), (2, "second")]
