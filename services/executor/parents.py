"""Read what the parents of a claimed job returned, before it starts."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from core.ledger.verdicts import Succeeded
from core.log import Coordinate
from penstock.identity import home
from ports.fetch import MissingRecordError, RecordFetcher
from ports.log import OffsetOutOfRangeError
from schemas.accepted_job import AcceptedJob
from schemas.codec import decode_event
from schemas.topics import RouteMap
from services.executor.held import HeldJob

CACHE_MAX_BYTES = 33_554_432
"""Results kept for the next child that asks: a parent may have thousands."""


class ParentsGiven(NamedTuple):
    """What a job is given of its parents."""

    results: dict[str, bytes]
    """JSON by job id."""
    omitted: str = ""
    """Why there is nothing to be had."""


NO_PARENTS = ParentsGiven({})


class ParentResultsReader:
    """Reads results from the verdicts that name them.

    Parameters
    ----------
    max_bytes
        Of the results given to one job together; more are not given.
    """

    def __init__(self, fetcher: RecordFetcher, routes: RouteMap, max_bytes: int) -> None:
        self._fetcher = fetcher
        self._routes = routes
        self._max_bytes = max_bytes
        self._cache: OrderedDict[Coordinate, bytes] = OrderedDict()
        self._cached_bytes = 0

    async def read(self, job: AcceptedJob) -> ParentsGiven:
        """Give what the parents of a job returned; waits while the broker is away."""
        if not job.parent_results:
            return ParentsGiven({}, job.parents_omitted)
        places = {
            job_id: Coordinate(self._routes.ledger, home(job_id, self._routes.partitions), offset)
            for job_id, offset in job.parent_results.items()
        }
        try:
            results = await self._at(places.values())
        except (MissingRecordError, OffsetOutOfRangeError):
            return ParentsGiven(
                {},
                "their records were trimmed from the ledger; raise PENSTOCK_LEDGER_KEEP_S above the time "
                "between the end of a parent and the start of its child",
            )
        size_bytes = sum(map(len, results.values()))
        if size_bytes > self._max_bytes:
            return ParentsGiven(
                {},
                f"they have {size_bytes} bytes, {self._max_bytes} are given "
                "(PENSTOCK_PARENT_RESULTS_MAX_BYTES); store them elsewhere and return where they are",
            )
        return ParentsGiven({job_id: results[place] for job_id, place in places.items()})

    async def _at(self, places: Iterable[Coordinate]) -> dict[Coordinate, bytes]:
        found: dict[Coordinate, bytes] = {}
        unknown: list[Coordinate] = []
        for place in places:
            held = self._cache.get(place)
            if held is None:
                unknown.append(place)
            else:
                self._cache.move_to_end(place)
                found[place] = held
        if unknown:
            for place, record in (await self._fetcher.fetch(unknown)).items():
                verdict = decode_event(record)
                if not isinstance(verdict, Succeeded):
                    raise MissingRecordError(f"{place} is no success of a parent")
                found[place] = bytes(verdict.result)
                self._keep(place, found[place])
        return found

    def _keep(self, place: Coordinate, result: bytes) -> None:
        self._cached_bytes += len(result) - len(self._cache.pop(place, b""))
        self._cache[place] = result
        while self._cached_bytes > CACHE_MAX_BYTES:
            self._cached_bytes -= len(self._cache.popitem(last=False)[1])


class Parents:
    """What was read for the jobs that are about to start.

    Parameters
    ----------
    ready
        Called whenever more was read.
    """

    def __init__(self, reader: ParentResultsReader, ready: Callable[[], None]) -> None:
        self._reader = reader
        self._ready = ready
        self._given: dict[str, asyncio.Task[ParentsGiven]] = {}

    def ask(self, held: HeldJob) -> None:
        """Begin to read for a job, if it has parents."""
        if held.job.parent_results and held.key not in self._given:
            task = asyncio.create_task(self._reader.read(held.job))
            self._given[held.key] = task
            task.add_done_callback(lambda _: self._ready())

    def are_read(self, held: HeldJob) -> bool:
        """Whether ``take`` can be asked."""
        task = self._given.get(held.key)
        return task is None or task.done()

    def take(self, held: HeldJob) -> ParentsGiven:
        """Give what was read, once.

        Raises
        ------
        Exception
            Whatever the reading ended in; a defect, or a broker that refuses.
        """
        task = self._given.pop(held.key, None)
        return ParentsGiven({}, held.job.parents_omitted) if task is None else task.result()

    def drop(self, held: HeldJob) -> None:
        """Forget a job that is not to start here."""
        task = self._given.pop(held.key, None)
        if task is not None:
            task.cancel()

    def close(self) -> None:
        """Read for nobody any more."""
        for task in self._given.values():
            task.cancel()
        self._given.clear()
