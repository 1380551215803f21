"""The open-loop submitter: sends what is due when it is due, however the pipeline fares."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from core.log import Appended, NewRecord
from penstock.demo.plan import RunIdentity, Submission, record_headers, record_value
from penstock.demo.sent import Place, SendOutcome, SentLedger
from ports.log import Appender, RecordTooLargeError

BATCH_MAX = 500
"""Submissions in one batch; what an outage holds up goes out in few batches afterwards."""


class Submitter:
    """Sends a plan's submissions at their arrival times.

    Promised: each submission is written to the sent ledger before it is produced. Not promised:
    punctuality while the broker is away; what became due meanwhile follows as soon as it is back.

    Parameters
    ----------
    topic, partitions
        The input topic; batches go round its partitions.
    """

    def __init__(
        self, appender: Appender, sent: SentLedger, run: RunIdentity, *, topic: str, partitions: int
    ) -> None:
        self._appender = appender
        self._sent = sent
        self._run = run
        self._topic = topic
        self._partitions = partitions
        self._turn = 0
        self._in_flight_since_s: float | None = None
        self.submitted = 0

    def held_up_s(self) -> float:
        """How long the batch under way has been waiting for the broker; 0 when none is."""
        since_s = self._in_flight_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    async def submit_all(self, submissions: Sequence[Submission], elapsed_s: Callable[[], float]) -> None:
        """Send everything, in order, each at its time; returns when the last batch is settled or unknown."""
        position = 0
        while position < len(submissions):
            end = _due_until(submissions, position, elapsed_s())
            if end == position:
                await asyncio.sleep(max(0.001, submissions[position].at_s - elapsed_s()))
                continue
            await self.send([(index, submissions[index]) for index in range(position, end)])
            position = end

    async def send(self, batch: Sequence[tuple[int, Submission]]) -> None:
        """Send one batch now, ``(place in the plan, submission)`` each."""
        partition = self._turn % self._partitions
        self._turn += 1
        records = self._records(batch, partition)
        number = await asyncio.to_thread(self._sent.intend, [index for index, _ in batch])
        self._in_flight_since_s = time.monotonic()
        try:
            acknowledged = await self._appender.append(records)
        except RecordTooLargeError as error:
            self._sent.doubt(number, SendOutcome.FAILED, str(error))
        except Exception as error:
            self._sent.doubt(number, SendOutcome.UNKNOWN, f"{type(error).__name__}: {error}")
        else:
            self._sent.settle(number, _places(batch, partition, acknowledged))
        finally:
            self._in_flight_since_s = None
        self.submitted += len(batch)

    def _records(self, batch: Sequence[tuple[int, Submission]], partition: int) -> list[NewRecord]:
        now = datetime.now(UTC)
        return [
            NewRecord(
                self._topic,
                partition,
                None,
                record_value(submission, self._run, now),
                record_headers(index, self._run),
            )
            for index, submission in batch
        ]


def _due_until(submissions: Sequence[Submission], position: int, elapsed_s: float) -> int:
    end = position
    limit = min(len(submissions), position + BATCH_MAX)
    while end < limit and submissions[end].at_s <= elapsed_s:
        end += 1
    return end


def _places(
    batch: Sequence[tuple[int, Submission]], partition: int, acknowledged: Sequence[Appended]
) -> list[Place]:
    return [
        Place(index, partition, place.offset, place.timestamp_ms)
        for (index, _), place in zip(batch, acknowledged, strict=True)
    ]
