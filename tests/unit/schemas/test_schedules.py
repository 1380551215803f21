import json
import uuid
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.log import Record
from core.schedules import CatchUp, Overlap
from penstock.identity import home, job_id_from_tick
from schemas.codec import UnreadableRecordError
from schemas.schedule_book import ScheduleBook
from schemas.schedule_edits import PAST_MAX, UnsettledError, check_size, edited, ended, with_pause
from schemas.schedules import (
    Defined,
    Fired,
    Plan,
    decode_schedule,
    fired_record,
    forgotten_record,
    partition_of,
    run_record,
    schedule_record,
    tick_record,
)
from schemas.topics import SCHEDULE_PARTITIONS, RouteMap

ROUTES = RouteMap()
START_MS = 1_774_744_200_000


def plan(**changes: object) -> Plan:
    given: dict[str, object] = {"job": msgspec.Raw(b'{"type":"t","payload": {"a": 1.0}}'), "every_ms": 60_000}
    return Plan(**(given | changes))  # type: ignore[arg-type]


def defined(name: str = "a", **changes: object) -> Defined:
    given: dict[str, object] = {"incarnation": "i", "version": 1, "plan": plan()}
    return Defined(name, **(given | changes))  # type: ignore[arg-type]


class Log:
    """Records of ``schedules`` as a broker would give them."""

    def __init__(self) -> None:
        self.book = ScheduleBook(lambda name, _: self.broken.append(name))
        self.broken: list[str] = []
        self._offset = 0

    def add(self, message: Defined | Fired, at_ms: int = START_MS) -> None:
        new = (
            fired_record(ROUTES, message) if isinstance(message, Fired) else schedule_record(ROUTES, message)
        )
        self.book.take(
            [Record(new.topic, new.partition, self._offset, at_ms, new.key, new.value, new.headers)]
        )
        self._offset += 1


def members(value: bytes | None) -> dict[str, object]:
    found: dict[str, object] = json.loads(value or b"")
    return found


def test_a_tick_is_the_job_of_the_plan_with_id_and_labels_and_its_payload_byte_for_byte() -> None:
    record = tick_record(ROUTES, defined(), plan(), START_MS)
    assert b'"payload":{"a": 1.0}' in (record.value or b"")
    assert members(record.value) == {
        "type": "t",
        "payload": {"a": 1.0},
        "job_id": job_id_from_tick("a", "i", START_MS),
        "labels": {"schedule": "a", "tick": "2026-03-29T00:30:00Z"},
    }
    assert record.topic == ROUTES.jobs
    assert record == tick_record(ROUTES, defined(version=7, by="somebody"), plan(), START_MS)


def test_what_counts_from_the_tick_is_written_as_times() -> None:
    one = plan(jitter_ms=30_000, expires_after_ms=60_000, deadline_after_ms=45_000)
    found = members(tick_record(ROUTES, defined(), one, START_MS).value)
    run_at = str(found["run_at"])
    assert "2026-03-29T00:30:00" <= run_at < "2026-03-29T00:30:30"
    assert str(found["expires_at"])[17:] == run_at[17:]
    assert str(found["deadline"]) > run_at


@pytest.mark.parametrize(("overlap", "on_busy"), [(Overlap.SKIP, "skip"), (Overlap.QUEUE, "wait")])
def test_ticks_that_must_not_overlap_share_an_ordering_key(overlap: Overlap, on_busy: str) -> None:
    found = members(tick_record(ROUTES, defined("x.y"), plan(overlap=overlap), START_MS).value)
    assert (found["ordering_key"], found["on_busy"]) == ("schedule:x.y", on_busy)
    assert "ordering_key" not in members(tick_record(ROUTES, defined("x.y"), plan(), START_MS).value)


def test_another_incarnation_and_a_run_by_hand_are_other_jobs() -> None:
    keys = {
        tick_record(ROUTES, defined(), plan(), START_MS).key,
        tick_record(ROUTES, defined(incarnation="j"), plan(), START_MS).key,
        tick_record(ROUTES, defined("b"), plan(), START_MS).key,
        run_record(ROUTES, defined(), START_MS, "r1").key,
        run_record(ROUTES, defined(), START_MS, "r2").key,
    }
    assert len(keys) == 5
    assert run_record(ROUTES, defined(), START_MS, "r1") == run_record(ROUTES, defined(), START_MS, "r1")


@given(
    name=st.text("abc.-", min_size=1, max_size=20),
    times=st.sets(st.integers(0, 2**42), min_size=2, max_size=20),
    partitions=st.integers(1, 1_000),
)
def test_all_jobs_of_a_schedule_go_one_way_so_that_none_overtakes_another(
    name: str, times: set[int], partitions: int
) -> None:
    routes = RouteMap(partitions=partitions)
    records = [tick_record(routes, defined(name), plan(), at_ms) for at_ms in times]
    records.append(run_record(routes, defined(name), START_MS, "r1"))
    ids = [str(members(record.value)["job_id"]) for record in records]
    assert {record.partition for record in records} == {home(one, partitions) for one in ids}
    assert len({record.partition for record in records}) == 1
    assert len(set(ids)) == len(records)
    assert all(str(uuid.UUID(one)) == one and uuid.UUID(one).version == 5 for one in ids)


def test_schedules_are_spread_over_the_partitions() -> None:
    records = [tick_record(ROUTES, defined(f"s{number}"), plan(), START_MS) for number in range(200)]
    counts = Counter(record.partition for record in records)
    assert min(counts[number] for number in range(ROUTES.partitions)) > 200 / ROUTES.partitions / 3


def test_a_name_has_one_partition_in_every_epoch() -> None:
    assert {partition_of(f"s{number}") for number in range(500)} == set(range(SCHEDULE_PARTITIONS))
    assert {spec.partitions for spec in RouteMap(partitions=2).specs() if spec.name == "schedules"} == {
        SCHEDULE_PARTITIONS
    }
    assert partition_of("nightly") == 10


def test_something_else_in_the_topic_stops_the_reader() -> None:
    with pytest.raises(UnreadableRecordError, match="schedules/0/5"):
        decode_schedule(Record("schedules", 0, 5, START_MS, b"a", b'{"kind":"OTHER"}', ()))


def test_the_furthest_says_how_far_a_schedule_has_fired_and_only_of_its_incarnation() -> None:
    log = Log()
    log.add(Fired("a", "old", START_MS + 900_000, fired=9))
    log.add(defined())
    log.add(Fired("a", "i", START_MS + 60_000, START_MS + 60_000, 1))
    log.add(Fired("a", "i", START_MS + 30_000, None, 0))
    view = log.book.view("a")
    assert view is not None
    assert (view.fired.through_ms, view.fired.fired) == (START_MS + 60_000, 1)
    gone = forgotten_record(ROUTES, "a", "i")
    log.book.take([Record(gone.topic, gone.partition, 9, START_MS, gone.key, None, ())])
    view = log.book.view("a")
    assert view is not None
    assert view.fired.through_ms == START_MS


def test_the_longest_due_comes_first_and_one_with_many_ticks_holds_up_no_other() -> None:
    log = Log()
    log.add(defined("many", plan=plan(every_ms=1000), catch_up=CatchUp.ALL))
    log.add(defined("few", plan=plan(every_ms=20_000), catch_up=CatchUp.ALL))
    assert log.book.refresh(1) is False
    assert log.book.refresh(100) is True
    assert log.book.next_due_ms() == START_MS + 1000
    found = log.book.take_due(START_MS + 40_000, ticks_max=100, each_max=10)
    assert [(view.defined.name, len(due.fire)) for view, due in found] == [("many", 10), ("few", 2)]
    assert found[0][1].through_ms == START_MS + 10_000
    assert log.book.take_due(START_MS + 40_000, ticks_max=100, each_max=10) == []


def test_a_schedule_this_version_cannot_compute_is_named_and_left_alone() -> None:
    log = Log()
    log.add(defined("far", plan=plan(every_ms=None, cron="0 0 * * *", zone="Mars/Olympus")))
    log.add(defined("none", plan=plan(every_ms=None)))
    log.add(defined("good"))
    log.book.refresh(10)
    assert sorted(log.broken) == ["far", "none"]
    assert log.book.next_due_ms() == START_MS + 60_000 - START_MS % 60_000


def test_partitions_that_are_lost_are_forgotten() -> None:
    log = Log()
    log.add(defined("a"))
    log.add(defined("b"))
    log.book.refresh(10)
    log.book.forget(frozenset({partition_of("a")}))
    assert log.book.names() == ["b"]
    assert [view.defined.name for view, _ in log.book.take_due(START_MS + 60_000, 10, 10)] == ["b"]


def test_edits_carry_only_plans_with_ticks_that_may_not_have_fired() -> None:
    log = Log()
    log.add(defined())
    for number in range(1, 4):
        view = log.book.view("a")
        assert view is not None
        log.add(edited(view, defined(plan=plan(every_ms=7000 * number))), START_MS + 10_000 * number)
    view = log.book.view("a")
    assert view is not None
    # The first had no tick in its ten seconds.
    assert [past.plan.every_ms for past in view.defined.before] == [7000, 14_000]
    log.add(Fired("a", "i", START_MS + 25_000))
    view = log.book.view("a")
    assert view is not None
    paused = with_pause(view, paused=True, by="me")
    assert [past.plan.every_ms for past in paused.before] == [14_000, 21_000]
    assert (paused.plan.paused, paused.version, paused.by) == (True, 5, "me")
    assert (ended(view, "me").version, ended(view, "me").incarnation) == (5, "i")


def test_more_unsettled_edits_than_a_record_takes_are_refused_with_the_remedy() -> None:
    log = Log()
    log.add(defined(plan=plan(every_ms=1000)))
    refused = 0
    for number in range(1, PAST_MAX + 3):
        view = log.book.view("a")
        assert view is not None
        changed = edited(view, defined(plan=plan(every_ms=1000 + number)))
        if number > PAST_MAX:
            refused += 1
            with pytest.raises(UnsettledError, match="start one"):
                check_size(ROUTES, changed)
        else:
            check_size(ROUTES, changed)
        log.add(changed, START_MS + 10_000 * number)
    assert refused == 2


def test_one_that_ticks_once_ticks_also_when_its_record_came_a_little_late() -> None:
    log = Log()
    log.add(defined(plan=plan(every_ms=None, at_ms=START_MS - 5)))
    log.book.refresh(1)
    assert log.book.next_due_ms() == START_MS - 5
