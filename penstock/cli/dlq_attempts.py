"""Failed attempts as they stand in ``jobs.dlq``: traceback, log lines, and the job as it was tried."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from core.log import Coordinate
from core.masking import scrub, secrets
from penstock.cli.connect import Connections
from penstock.cli.reading import reading, require_topics
from penstock.identity import home
from ports.fetch import MissingRecordError, RecordFetcher
from ports.log import OffsetOutOfRangeError
from schemas.accepted_job import FailedAttempt
from schemas.codec import decode_failed
from schemas.topics import RouteMap


class FailedAttempts:
    """Reads single attempts; what was trimmed is none."""

    def __init__(self, fetcher: RecordFetcher, routes: RouteMap) -> None:
        self._fetcher = fetcher
        self._routes = routes

    async def get(self, job_id: str, offset: int | None) -> FailedAttempt | None:
        """Give the attempt of a job at an offset of its home; None when it is not there any more."""
        if offset is None:
            return None
        place = Coordinate(self._routes.dlq, home(job_id, self._routes.partitions), offset)
        try:
            record = (await self._fetcher.fetch([place]))[place]
        except (MissingRecordError, OffsetOutOfRangeError):
            return None
        attempt = decode_failed(record)
        return attempt if attempt.job.job_id == job_id else None


@asynccontextmanager
async def failed_attempts(where: Connections) -> AsyncIterator[FailedAttempts]:
    """Reach ``jobs.dlq``, for the length of a block."""
    await require_topics(where.kafka, [where.routes.dlq])
    async with reading(where.kafka) as reader:
        yield FailedAttempts(RecordFetcher(reader), where.routes)


def shown_text(attempt: FailedAttempt, text: str) -> str:
    """Give a text of an attempt without the values its producer called sensitive.

    The executor hides them when the attempt ends; here once more, since what is shown may be passed on.
    """
    job = attempt.job
    return scrub(text, secrets(bytes(job.payload), job.sensitive))
