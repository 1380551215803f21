"""The parts of a soak that need no pipeline: its plan, its meter, and its book when topics were trimmed."""

import os
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from core.ledger.notes import Accepted, Repeated
from core.ledger.verdicts import Expired
from core.log import TopicPartition
from penstock.demo.sent import SendOutcome
from schemas.ledger import FoldedEvent
from tests.chaos import meters, nemesis
from tests.chaos.casebook import Casebook
from tests.chaos.intake import event_row
from tests.chaos.orders import Kind, Order, Way
from tests.chaos.rig.patience import Patience, factor_of
from tests.chaos.sent import Settled
from tests.chaos.stack import SERVICES
from tests.chaos.watch import Committed, OffsetLog

JOB = "01890000-0000-7000-8000-000000000001"


def test_equal_seeds_plan_equal_strikes() -> None:
    first, second, other = (list(islice(nemesis.plans(seed), 50)) for seed in (3, 3, 4))
    assert first == second
    assert [one.strike for one in first] != [one.strike for one in other]
    low_s, high_s = nemesis.QUIET_S
    assert all(low_s <= one.quiet_s <= high_s for one in first)


def test_half_an_hour_comes_to_everything_on_the_menu() -> None:
    planned = {one.strike.name for one in islice(nemesis.plans(1), 150)}
    assert planned == {strike.name for strike in nemesis.MENU}


def test_the_menu_has_every_service() -> None:
    names = {strike.name for strike in nemesis.MENU}
    assert {f"{service} killed" for service in (*SERVICES, "executor")} <= names


def test_patience_is_a_factor_of_at_least_one() -> None:
    patience = Patience()
    assert patience.limit_s(3.0) == 3.0
    patience.factor = factor_of("2.5")
    assert patience.limit_s(3.0) == 7.5
    for wrong in ("0.5", "0", "-1", "1000", "much"):
        with pytest.raises(ValueError, match=wrong):
            factor_of(wrong)


def sample(at_s: float, cpu_s: float, memory_mib: float) -> meters.Sample:
    return meters.Sample(at_s, {"ingest-0": memory_mib}, {"ingest-0": cpu_s}, 7.0)


def test_a_process_that_was_started_again_used_what_both_runs_used() -> None:
    said = meters.summary([sample(0, 1.0, 30), sample(10, 3.0, 40), sample(20, 1.0, 30), sample(30, 2.0, 31)])
    assert said["cpu_percent"] == {"ingest-0": pytest.approx(100 * (2 + 1 + 1) / 30, abs=0.1)}
    assert said["memory_mib"]["ingest-0"]["largest"] == 40
    assert said["memory_mib"]["ingest-0"]["last_third"] == 31


def test_a_long_series_is_thinned() -> None:
    series = meters.summary([sample(at, at, at) for at in range(1, 1001)])["kafka_mib"]["series"]
    assert meters.SERIES_MAX / 2 < len(series) <= meters.SERIES_MAX


def test_the_disk_is_counted_in_blocks(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    (tmp_path / "full").write_bytes(os.urandom(1 << 20))
    assert 1 << 20 <= meters.disk_bytes(tmp_path) < 1 << 21


def order(send: int) -> Order:
    return Order(send, Kind.STEADY, Way.RAW)


def accepted(offset: int, send: int, job_id: str = JOB) -> Accepted:
    trace_id = order(send).traceparent.split("-")[1]
    return Accepted(
        f"e0:0:{offset}", job_id, "chaos.steady", "default", "default", 5, 1, 300.0, 3, msgspec.Raw(b"{}"),
        2, trace_id,
    )  # fmt: skip


@pytest.fixture
def book(tmp_path: Path) -> Casebook:
    found = Casebook(tmp_path / "evidence.db")
    found.begin()
    return found


def tell(book: Casebook, offset: int, event: Accepted | Repeated | Expired) -> None:
    raw = msgspec.json.encode(event)
    book.add("events", [event_row(FoldedEvent(0, offset, 5, event, None), raw)])


def test_records_trimmed_unread_are_made_up_from_the_ledger(book: Casebook) -> None:
    book.add_sends([order(7), order(8), order(9)], [Settled(8, SendOutcome.OK, 0, 5)])
    tell(book, 0, accepted(offset=4, send=7))
    tell(book, 1, Repeated("e0:0:5", JOB, "e0:0:4"))
    tell(book, 2, accepted(offset=6, send=9, job_id=JOB[:-1] + "2"))
    book.fill_gaps([(0, 0, 6)])
    book.finish()
    (case, other) = book.cases()
    assert [(one.offset, one.order and one.order.send) for one in case.records] == [(4, 7), (5, 8)]
    assert other.records == []
    assert book.send_problems() == []


def test_an_acknowledgement_alone_makes_up_no_record(book: Casebook) -> None:
    book.add_sends([order(7)], [Settled(7, SendOutcome.OK, 0, 4)])
    book.fill_gaps([(0, 0, 9)])
    book.finish()
    assert [problem[:3] for problem in book.send_problems()] == [(7, "ok", 0)]


def test_reading_facts_twice_counts_them_once(book: Casebook) -> None:
    for _ in range(2):
        tell(book, 0, accepted(offset=4, send=7))
    book.finish()
    (case,) = book.cases()
    assert len(case.events) == 1


def test_who_hears_of_a_job_of_a_workflow_again_is_told_of_all_of_it(book: Casebook) -> None:
    parent, child, other = (JOB[:-1] + digit for digit in "123")
    for offset, job_id, workflow in ((0, parent, "w"), (1, child, "w"), (2, other, None)):
        event = msgspec.structs.replace(
            accepted(offset=offset, send=offset + 1, job_id=job_id), workflow_id=workflow
        )
        tell(book, offset, event)
    book.finish()
    assert book.touched() == 3

    book.begin()
    tell(book, 3, Expired("e0:0:1", child))
    book.finish()

    assert [case.job_id for case in book.cases()] == [parent, child]


def test_ends_of_outputs_that_were_not_seen_are_unknown() -> None:
    log, key = OffsetLog(), Committed("g", "t", 0)
    seen, later = ("a", 0), ("b", 0)
    log.see({key: 3}, {_place(*seen): 0})
    log.see({key: 5}, {_place(*seen): 2, _place(*later): 1})
    first, second = log.ends_when_passed(key, 2), log.ends_when_passed(key, 4)
    assert first is not None
    assert second is not None
    assert (first.get(_place(*seen)), first.get(_place(*later))) == (0, None)
    assert (second.get(_place(*seen)), second.get(_place(*later))) == (2, 1)
    assert log.ends_when_passed(key, 5) is None


def _place(topic: str, partition: int) -> TopicPartition:
    return TopicPartition(topic, partition)
