"""What a job is given of its parents' results, and what it is told when it is given none."""

from collections.abc import Iterable
from typing import Any, cast

import msgspec
import pytest

from core.ledger.verdicts import Succeeded
from core.log import Coordinate, Record
from penstock.identity import home
from ports.fetch import MissingRecordError
from ports.log import OffsetOutOfRangeError
from schemas.accepted_job import AcceptedJob
from schemas.codec import ledger_record
from schemas.topics import RouteMap
from services.executor import parents
from services.executor.parents import ParentResultsReader, ParentsGiven
from tests.unit.services.executor.test_start import JOB

ROUTES = RouteMap()
FIRST, SECOND = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"


class Fetcher:
    """The ledger: successes by coordinate."""

    def __init__(self, results: dict[Coordinate, bytes], error: Exception | None = None) -> None:
        self.results = results
        self.error = error
        self.fetched: list[Coordinate] = []

    async def fetch(self, wanted: Iterable[Coordinate]) -> dict[Coordinate, Record]:
        if self.error is not None:
            raise self.error
        found = {}
        for place in wanted:
            self.fetched.append(place)
            verdict = Succeeded("e:0:1", FIRST, 1, "x", 1, 1.0, msgspec.Raw(self.results[place]))
            new = ledger_record(ROUTES, verdict)
            found[place] = Record(*place, 1, new.key, new.value, new.headers)
        return found


def place(job_id: str, offset: int) -> Coordinate:
    return Coordinate(ROUTES.ledger, home(job_id, ROUTES.partitions), offset)


def child(**parent_results: int) -> AcceptedJob:
    named = {"first": FIRST, "second": SECOND}
    return msgspec.structs.replace(
        JOB, workflow_id="w", parent_results={named[name]: offset for name, offset in parent_results.items()}
    )


def reader(fetcher: Fetcher, max_bytes: int = 100) -> ParentResultsReader:
    return ParentResultsReader(cast("Any", fetcher), ROUTES, max_bytes)


async def test_results_are_read_where_the_successes_stand_and_once_for_all_children() -> None:
    fetcher = Fetcher({place(FIRST, 3): b"1", place(SECOND, 4): b'"two"'})
    reads = reader(fetcher)
    assert await reads.read(child(first=3, second=4)) == ParentsGiven({FIRST: b"1", SECOND: b'"two"'})
    assert await reads.read(child(second=4)) == ParentsGiven({SECOND: b'"two"'})
    assert sorted(fetcher.fetched) == sorted([place(FIRST, 3), place(SECOND, 4)])


async def test_a_job_without_parents_reads_nothing() -> None:
    fetcher = Fetcher({})
    assert await reader(fetcher).read(child()) == ParentsGiven({})
    assert fetcher.fetched == []


async def test_results_over_the_limit_are_not_given_and_the_limit_is_named() -> None:
    fetcher = Fetcher({place(FIRST, 3): b"1" * 60, place(SECOND, 4): b"1" * 60})
    given = await reader(fetcher).read(child(first=3, second=4))
    assert given.results == {}
    assert "they have 120 bytes, 100 are given (PENSTOCK_PARENT_RESULTS_MAX_BYTES)" in given.omitted


@pytest.mark.parametrize("error", [MissingRecordError("gone"), OffsetOutOfRangeError("gone")])
async def test_results_that_are_trimmed_are_said_to_be(error: Exception) -> None:
    given = await reader(Fetcher({}, error)).read(child(first=3))
    assert "trimmed from the ledger" in given.omitted


async def test_why_the_gate_gives_no_results_is_passed_on() -> None:
    job = msgspec.structs.replace(child(), parents_omitted="it has 1001 parents")
    assert await reader(Fetcher({})).read(job) == ParentsGiven({}, "it has 1001 parents")


async def test_what_is_kept_for_the_next_child_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parents, "CACHE_MAX_BYTES", 5)
    fetcher = Fetcher({place(FIRST, 3): b"111", place(SECOND, 4): b"222"})
    reads = reader(fetcher)
    await reads.read(child(first=3))
    await reads.read(child(second=4))
    await reads.read(child(first=3))
    assert fetcher.fetched == [place(FIRST, 3), place(SECOND, 4), place(FIRST, 3)]
