"""Sends encoded jobs and says of each what is known: acknowledged, never sent, or unknown."""

import asyncio
from collections.abc import Sequence

from aiokafka.errors import (
    InvalidTopicError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)

from penstock.client.errors import NotSent, Unacknowledged
from penstock.client.link import Epoch, KafkaLink
from penstock.client.outbox import Call, Outbox, Place
from penstock.client.room import Room
from penstock.client.rows import SubmittedRef
from penstock.client.submission import EncodedJob
from penstock.identity import Origin, job_id_from_origin

YIELD_EVERY = 500
"""Jobs encoded or named in one go: a few milliseconds, then other tasks of the loop get their turn."""

_NOT_APPENDED = (
    InvalidTopicError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)
"""Answers of the broker that say the batch is not in the log."""


async def send(
    link: KafkaLink, room: Room, jobs: Sequence[EncodedJob], timeout_s: float
) -> list[SubmittedRef]:
    """Append all and give their references, in the order given.

    Raises
    ------
    NotConnected, NotSent
        None of them is in the log; the caller may repeat. ``Backpressure``: there is no room for them.
    Unacknowledged
        With what is known of each.
    """
    opened = await link.open()
    async with room.held(sum(job.size_bytes for job in jobs), timeout_s):
        call = opened.outbox.put(jobs)
        problem = await _settle(opened.outbox, call, timeout_s)
    refs: list[SubmittedRef | None] = []
    for job, place in zip(jobs, call.places, strict=True):
        refs.append(_ref(opened.epoch, job, place))
        if len(refs) % YIELD_EVERY == 0:
            await asyncio.sleep(0)
    acknowledged = [ref for ref in refs if ref is not None]
    if len(acknowledged) == len(jobs):
        return acknowledged
    raise _failure(refs, call, problem) from problem


async def _settle(outbox: Outbox, call: Call, timeout_s: float) -> BaseException | None:
    """Wait as long as acknowledgements arrive within the time-out of each other; give the problem."""
    try:
        while not call.done.done():
            missing = call.missing
            await asyncio.wait([call.done], timeout=timeout_s)
            if call.missing == missing and not call.done.done():
                return TimeoutError(f"no acknowledgement within {timeout_s:g} s")
        return call.done.exception()
    finally:
        # Also when the caller is cancelled: what has not left yet stays here.
        outbox.withdraw(call)


def _ref(epoch: Epoch, job: EncodedJob, place: Place | None) -> SubmittedRef | None:
    if place is None or place.offset < 0:
        return None
    origin = Origin(epoch.name, place.partition, place.offset)
    job_id = job.job_id or job_id_from_origin(origin, place.timestamp_ms)
    return SubmittedRef(job_id, origin, place.timestamp_ms)


def _failure(
    refs: Sequence[SubmittedRef | None], call: Call, problem: BaseException | None
) -> NotSent | Unacknowledged:
    unknown = refs.count(None)
    why = problem or "the broker has forgotten their place"
    refused = isinstance(problem, _NOT_APPENDED) and len(refs) == 1
    if call.taken == 0 or refused:
        return NotSent(f"nothing was sent ({why}); repeating the call is safe")
    return Unacknowledged(
        f"{unknown} of {len(refs)} jobs have no acknowledgement ({why}): they may be in the log or "
        "not. With an `idempotency_key` you can safely submit them again",
        refs=refs,
        withdrawn=len(refs) - call.taken,
    )
