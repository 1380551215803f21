"""What ingest appends, and in which order: a gated job is accepted before it goes anywhere."""

import json
from collections.abc import Sequence

from core.log import Appended, NewRecord, Record
from schemas.gate_keys import GATES_HEADER
from schemas.topics import RouteMap
from services.ingest.decide import IngestContext
from services.ingest.hand_over import HandOver
from tests.model.process import NoMeter

ROUTES = RouteMap(partitions=4)
NOW_MS = 1_780_000_000_000


class Calls:
    """An appender that keeps every call."""

    def __init__(self) -> None:
        self.calls: list[list[NewRecord]] = []

    async def append(self, records: Sequence[NewRecord]) -> list[Appended]:
        self.calls.append(list(records))
        return [Appended(0, NOW_MS) for _ in records]


async def appended(*jobs: dict[str, object]) -> list[list[NewRecord]]:
    calls = Calls()
    context = IngestContext("e1", 4, frozenset({"default"}))
    values = [json.dumps({"type": "email.send", **job}).encode() for job in jobs]
    records = [Record("jobs", 0, offset, NOW_MS, None, value, ()) for offset, value in enumerate(values)]
    await HandOver(ROUTES, calls, NoMeter(), lambda: NOW_MS, context).work(records)
    return calls.calls


def kinds(records: list[NewRecord]) -> list[tuple[str, bytes]]:
    return [(record.topic, dict(record.headers)["kind"]) for record in records]


async def test_that_a_gated_job_is_accepted_is_acknowledged_before_it_enters() -> None:
    first, second = await appended({"ordering_key": "k"}, {}, {"priority": 99})
    assert kinds(first) == [(ROUTES.ledger, b"ACCEPTED")]
    assert GATES_HEADER in dict(first[0].headers)
    assert kinds(second) == [
        (ROUTES.orders, b"ENTERED"),
        (ROUTES.ledger, b"ACCEPTED"),
        (ROUTES.ready, b"READY"),
        (ROUTES.rejected, b"REJECTED"),
    ]


async def test_a_gated_job_whose_name_may_be_known_is_accepted_by_the_id_gate() -> None:
    first, second = await appended({"ordering_key": "k", "idempotency_key": "i"})
    assert first == []
    assert kinds(second) == [(ROUTES.gates, b"GATED")]


async def test_a_gated_job_of_the_future_is_accepted_here_and_waits_at_home() -> None:
    first, second = await appended({"ordering_key": "k", "run_at": "2030-01-01T00:00:00Z"})
    assert kinds(first) == [(ROUTES.ledger, b"ACCEPTED")]
    assert kinds(second) == [(ROUTES.gates, b"GATED")]
