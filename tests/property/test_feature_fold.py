"""The fold of outcomes: crashes and repeats change nothing, and a batch makes the same of a history."""

import random
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.learning.aggregates import image
from core.learning.events import Ended, Key, Status, Submitted
from core.learning.fold import FeatureFold
from core.learning.seconds import LAG_MS
from core.log import NewRecord, Record
from penstock.identity import Origin
from schemas import feature_states
from schemas.codec import decode_outcome
from schemas.feature_states import Entry
from schemas.outcomes import OutcomeBatch, Report, Subject, homes, outcome_records, partition_of, reports_of
from schemas.topics import APPEND_MAX_BYTES, RouteMap
from services.features.fold import changes_of, restored_folds
from tests.support.learning_events import Happened, histories
from tests.support.outcome_replay import batch_images, told_by_seconds

ROUTES = RouteMap(partitions=2)
PARTITIONS = range(ROUTES.learning_partitions)
LATER_MS = 10**15


def subject_of(happened: Happened) -> Subject:
    narrowest = happened.keys[-1]
    return Subject(narrowest.tenant, narrowest.type, narrowest.name)


def reports(history: Sequence[Happened]) -> list[Report]:
    return [Report(subject_of(happened), happened.event) for happened in history]


def read(record: NewRecord, offset: int) -> Record:
    return Record(record.topic, record.partition, offset, LATER_MS, record.key, record.value, ())


def folded(log: Sequence[NewRecord], partition: int, torn: dict[int, float]) -> dict[Key, bytes]:
    """Fold a partition; at the offsets given the process dies with so large a part of its writes done."""
    table: dict[bytes, bytes] = {}
    torn = dict(torn)
    fold = restored_folds({partition: 0}, table, len(PARTITIONS))[partition]
    while fold.next_offset < len(log):
        offset = fold.next_offset
        step = fold.take(offset, decode_outcome(read(log[offset], offset)), LATER_MS)
        changes = changes_of(partition, offset, step, fold)
        writes: list[tuple[bytes, bytes | None]] = [*changes.puts, *((key, None) for key in changes.removed)]
        share = torn.pop(offset, None)
        for key, value in writes[: None if share is None else round(share * len(writes))]:
            if value is None:
                table.pop(key, None)
            else:
                table[key] = value
        if share is not None:
            fold = restored_folds({partition: 0}, table, len(PARTITIONS))[partition]
    return {key: image(state) for key, state in fold.states.items()}


def all_folded(sent: Sequence[NewRecord], torn: dict[int, float]) -> dict[Key, bytes]:
    images: dict[Key, bytes] = {}
    for partition in PARTITIONS:
        images |= folded([record for record in sent if record.partition == partition], partition, torn)
    return images


@given(histories(), st.randoms(use_true_random=False))
def test_what_repeated_and_shuffled_reports_make_is_what_a_batch_makes(
    history: list[Happened], rng: random.Random
) -> None:
    told = told_by_seconds(ROUTES, reports(history))
    sent = [record for records in told for record in rng.choices(records, k=2 * len(records)) + records]
    assert all_folded(sent, {}) == batch_images(reports(history))


@given(histories(span_ms=40_000), st.dictionaries(st.integers(0, 20), st.floats(0, 1), max_size=8), st.data())
def test_a_fold_that_dies_anywhere_in_its_writes_ends_as_one_that_never_stopped(
    history: list[Happened], torn: dict[int, float], data: st.DataObject
) -> None:
    sent = [record for records in told_by_seconds(ROUTES, reports(history)) for record in records]
    # Late, and again: any record may come once more anywhere behind itself.
    for record in data.draw(st.lists(st.sampled_from(sent), max_size=6)):
        sent.insert(data.draw(st.integers(sent.index(record), len(sent))), record)
    assert all_folded(sent, torn) == all_folded(sent, {})


@given(histories(span_ms=40_000), st.dictionaries(st.integers(0, 20), st.floats(0, 1), max_size=8))
def test_entries_in_many_parts_make_what_entries_in_one_make(
    history: list[Happened], torn: dict[int, float]
) -> None:
    sent = [record for records in told_by_seconds(ROUTES, reports(history)) for record in records]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(feature_states.A_PART, Entry.SECOND, 2)
        patch.setitem(feature_states.A_PART, Entry.RECORD, 3)
        in_parts = all_folded(sent, torn)
    assert in_parts == all_folded(sent, {})


def test_a_second_with_fifty_thousand_events_is_kept_in_records_of_their_size_and_goes_again() -> None:
    """Of a record larger than a megabyte the changelog takes nothing, and the fold could never go on."""
    subject = Subject("t" * 100, "x" * 100)
    many = [
        Report(subject, Ended(5, str(Origin("e" * 8, 3, number)), 1, 7, Status.OK, 1))
        for number in range(50_000)
    ]
    routes = RouteMap(partitions=1)
    fold = restored_folds({0: 0}, {}, 1)[0]
    table: dict[bytes, bytes] = {}
    # The last two close the second, and forget it.
    ticks = [outcome_records(routes, "x", 2, end_ms, [], [0])[0] for end_ms in (9_000, 10**6)]
    closing = outcome_records(routes, "x", 3, 10**6, [Report(subject, Submitted(999_500, "e:0:1", 1, 1))])
    closing += outcome_records(routes, "x", 4, 10**6 + 9_000, [], [0])
    most = largest = 0
    for offset, record in enumerate([*outcome_records(routes, "x", 1, 9, many), *ticks, *closing]):
        step = fold.take(offset, decode_outcome(read(record, offset)), LATER_MS)
        changes = changes_of(0, offset, step, fold)
        table |= dict(changes.puts)
        for key in changes.removed:
            del table[key]
        most = max(most, len(table))
        largest = max(largest, *(len(key) + len(value) for key, value in changes.puts))
    assert most > 50_000 / feature_states.A_PART[Entry.RECORD]
    assert largest < APPEND_MAX_BYTES / 2
    entries = [entry for entry in map(feature_states.read_entry_key, table) if entry is not None]
    assert sorted((one.entry, one.number) for one in entries) == [("progress", 0), ("second", 999)]
    again = restored_folds({0: 0}, table, 1)[0]
    assert {key: image(state) for key, state in again.states.items()} == {
        key: image(state) for key, state in fold.states.items()
    }


@given(histories())
def test_what_comes_late_counts_in_the_next_second_as_in_a_batch(history: list[Happened]) -> None:
    *early, last = reports(history)
    first = told_by_seconds(ROUTES, reports(history))[-1]
    later_ms = last.event.at_ms + 60_000
    late = outcome_records(ROUTES, "executor-1", 1, later_ms, early)
    end = outcome_records(ROUTES, "executor-1", 2, later_ms + 10_000, [], PARTITIONS)
    sent = [*outcome_records(ROUTES, "executor-0", 1, last.event.at_ms, [last]), *first, *late, *end]
    for partition in PARTITIONS:
        batch = FeatureFold()
        for record in (record for record in sent if record.partition == partition):
            message = decode_outcome(read(record, 0))
            list(batch.close(message.end_ms - LAG_MS))
            for subject, event in reports_of(message):
                keys = [key for key in subject.keys if partition_of(key, len(PARTITIONS)) == partition]
                batch.take(event, tuple(keys))
        log = [record for record in sent if record.partition == partition]
        found = folded(log, partition, {})
        assert found == {key: image(state) for key, state in batch.states.items()}


@given(histories())
def test_each_partition_is_told_all_about_the_keys_at_home_there(history: list[Happened]) -> None:
    wanted = reports(history)
    records = outcome_records(ROUTES, "executor-0", 1, LATER_MS, wanted)
    assert len(records) == len({record.partition for record in records})
    for record in records:
        told = reports_of(decode_outcome(read(record, 0)))
        here = [one for one in wanted if record.partition in homes(one.subject, len(PARTITIONS))]
        assert sorted(told, key=str) == sorted(here, key=str)


def test_reports_too_many_for_one_record_are_told_in_several() -> None:
    subject = Subject("t" * 200, "x" * 200)
    wanted = [
        Report(subject, Ended(5, str(Origin("e" * 8, 3, number)), 1, 7, Status.OK, 1))
        for number in range(40_000)
    ]
    records = outcome_records(RouteMap(partitions=1), "executor-0", 1, 9, wanted)
    assert len(records) > 1
    assert all(len(record.value or b"") < APPEND_MAX_BYTES for record in records)
    assert [one for record in records for one in reports_of(decode_outcome(read(record, 0)))] == wanted


def test_what_earlier_versions_wrote_tells_nothing_and_they_can_read_what_is_written_now() -> None:
    class OutcomeSketch(msgspec.Struct):
        type: str
        tenant: str
        executor: str
        seq: int
        end_ms: int
        succeeded: int = 0
        run_ms: int = 0

    old = msgspec.json.encode(OutcomeSketch("t", "acme", "executor-0", 3, 5, 7, 9))
    assert msgspec.json.decode(old, type=OutcomeBatch).histories == ()
    (record,) = outcome_records(RouteMap(partitions=1), "executor-0", 1, 9, [], [0])
    assert msgspec.json.decode(record.value or b"", type=OutcomeSketch).succeeded == 0


def test_a_reporter_whose_clock_is_ahead_closes_nothing_that_others_still_fill() -> None:
    fold = restored_folds({0: 0}, {}, 1)[0]
    fold.take(0, OutcomeBatch("", "", "executor-0", 1, LATER_MS), 10_000)
    assert fold.first_open_s == (10_000 - LAG_MS) // 1000
