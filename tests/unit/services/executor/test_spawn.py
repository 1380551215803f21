"""Jobs a task added."""

import msgspec
import pytest

from penstock.identity import home
from penstock.relatives import Spawned
from penstock.worker.frames import JobOutcome
from schemas.topics import RECORD_MAX_BYTES, RouteMap
from services.executor.spawn import SpawnRefusedError, refused_outcome, spawned_records
from tests.unit.services.executor.test_start import JOB

ROUTES = RouteMap(partitions=4)


def added(payload: object = None, **options: object) -> list[bytes]:
    spawned = Spawned(JOB.job_id, "t", "w")
    spawned.add("part", payload, "one", options)  # type: ignore[arg-type]
    return spawned.records


def test_they_are_submitted_as_they_were_added_with_the_trace_of_their_parent() -> None:
    parent = msgspec.structs.replace(JOB, traceparent="00-aa-bb-01")
    records = added({"number": 1}, depends_on=[JOB.job_id])
    (record,) = spawned_records(ROUTES, parent, records)
    assert (record.topic, record.value) == (ROUTES.jobs, records[0])
    assert record.key is not None
    assert record.partition == home(record.key.decode(), 4)
    assert record.headers == (("traceparent", b"00-aa-bb-01"),)
    assert spawned_records(ROUTES, JOB, records)[0].headers == ()


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (added(priority=11), "the added job number 0: field `priority`"),
        (added(pool="gpu"), "there is no pool `gpu`; send one of: default"),
        (added(depends_on=["x"]), "field `depends_on.0`"),
        (added("x" * RECORD_MAX_BYTES), f"{RECORD_MAX_BYTES} are allowed"),
    ],
)
def test_one_that_is_no_job_is_refused_with_field_and_remedy(records: list[bytes], message: str) -> None:
    with pytest.raises(SpawnRefusedError, match=message):
        spawned_records(ROUTES, JOB, records)


def test_an_attempt_that_added_no_job_fails_for_good() -> None:
    outcome = refused_outcome(JobOutcome("k", True, 1.0, b"1"), SpawnRefusedError("no"))
    assert (outcome.ok, outcome.error_class, outcome.message) == (False, "permanent", "no")
