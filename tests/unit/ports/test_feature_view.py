"""What a scorer knows of tenants and types, how old it is, and that it goes on without news."""

import math
from typing import cast

import msgspec

from adapters.memory.broker import MemoryBroker
from adapters.memory.reader import MemoryReader
from adapters.telemetry.prometheus import PrometheusMeter
from core.learning.aggregates import KeyAggregates
from core.learning.events import Ended, Key, Kind, Status, Submitted
from core.learning.features import COLUMN, features
from core.learning.fold import FeatureFold
from core.log import NewRecord, Record
from ports.feature_view import FeatureView, facts_of
from ports.log import PartitionReader
from schemas.accepted_job import AcceptedJob
from schemas.features import FoldProgress, KnownOfKey, feature_record, progress_record
from schemas.outcomes import Subject, encode, key_bytes
from schemas.topics import RouteMap

ROUTES = RouteMap(partitions=2)
NOW_MS = 1_700_000_100_000
SUBJECT = Subject("acme", "report")
JOB = AcceptedJob("e:0:7", "id", "report", "acme", "default", msgspec.Raw(b'"xx"'), 7, 0, 10.0, 3, "", "")


def a_view() -> FeatureView:
    return FeatureView(cast("PartitionReader", None), ROUTES, PrometheusMeter())


def states() -> dict[Key, KeyAggregates]:
    fold = FeatureFold()
    ready_ms = NOW_MS - 50_000
    fold.take(Submitted(ready_ms, "e:0:1", 1, 99), SUBJECT.keys)
    fold.take(Ended(ready_ms + 900, "e:0:1", 1, 800, Status.FAILED, ready_ms), SUBJECT.keys)
    list(fold.close(NOW_MS))
    return fold.states


def as_read(record: NewRecord) -> Record:
    return Record(record.topic, record.partition, 0, NOW_MS, record.key, record.value, ())


def published(known: dict[Key, KeyAggregates]) -> list[Record]:
    return [as_read(feature_record(ROUTES, 0, key, state)) for key, state in known.items()]


def test_a_vector_is_that_of_the_states_that_were_published() -> None:
    view, known = a_view(), states()
    view.take(published(known))
    expected = features([known[key] for key in SUBJECT.keys], facts_of(JOB), NOW_MS)
    other = msgspec.structs.replace(JOB, tenant="else")
    first, second = view.vectors([JOB, other], NOW_MS)
    assert first.tobytes() == expected.tobytes()
    assert second[COLUMN["type.ends"]] == first[COLUMN["type.ends"]]
    assert second[COLUMN["tenant.ends"]] == 0


def test_what_is_known_is_replaced_by_what_is_newer_and_not_by_what_is_older() -> None:
    view = a_view()
    key = Key(Kind.TYPE, type="report")
    found = []
    for at_s in (5, 9, 7):
        view.take(published({key: KeyAggregates(at_s=at_s, submitted=at_s)}))
        state = view.state(key)
        found.append(None if state is None else state.at_s)
    assert found == [5, 9, 9]


def test_what_another_version_wrote_is_passed_over() -> None:
    view = a_view()
    key = Key(Kind.TYPE, type="report")
    newer = encode(KnownOfKey(99, 5, b"something else"))
    view.take([as_read(NewRecord(ROUTES.features, 0, key_bytes(key), newer))])
    view.take([as_read(NewRecord(ROUTES.features, 0, key_bytes(key), b"no JSON"))])
    assert view.state(key) is None
    assert len(view.vectors([JOB], NOW_MS)) == 1


def test_it_knows_how_much_older_it_is_than_the_newest_report() -> None:
    view = a_view()
    assert view.lag_s == 0
    view.told(0, NOW_MS)
    assert view.lag_s == math.inf
    view.take([as_read(progress_record(ROUTES, 0, FoldProgress(7, NOW_MS - 4_000)))])
    assert view.lag_s == 4
    view.told(1, NOW_MS)
    view.take([as_read(progress_record(ROUTES, 1, FoldProgress(9, NOW_MS - 9_000)))])
    assert view.lag_s == 9
    for partition in (0, 1):
        view.take([as_read(progress_record(ROUTES, partition, FoldProgress(12, NOW_MS)))])
    assert view.lag_s == 0


async def test_it_reads_the_topic_from_its_oldest_record() -> None:
    broker = MemoryBroker(lambda: NOW_MS)
    broker.create_topics(ROUTES.specs())
    for key, state in states().items():
        broker.write(feature_record(ROUTES, 1, key, state))
    reader = MemoryReader(broker)
    view = FeatureView(reader, ROUTES, PrometheusMeter())
    await view.start()
    view.take(await reader.poll(1.0))
    assert view.state(SUBJECT.keys[Kind.TYPE]) is not None
