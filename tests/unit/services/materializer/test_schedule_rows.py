import json

import msgspec

from core.log import Record
from core.schedules import CatchUp, Overlap
from schemas.schedules import (
    Defined,
    Deleted,
    Fired,
    Plan,
    fired_record,
    forgotten_record,
    schedule_record,
)
from schemas.topics import RouteMap
from services.materializer.schedule_rows import schedule_rows

ROUTES = RouteMap()
START_MS = 1_774_744_200_000
JOB = b'{"type":"t","tenant":"acme","payload":{"key":"hidden","n":1.50},"sensitive":["/key"]}'


def plan(**changes: object) -> Plan:
    given: dict[str, object] = {"job": msgspec.Raw(JOB), "every_ms": 90_000}
    return Plan(**(given | changes))  # type: ignore[arg-type]


def records(*messages: Defined | Deleted | Fired | None) -> list[Record]:
    found = []
    for offset, message in enumerate(messages):
        match message:
            case None:
                new = forgotten_record(ROUTES, "a", "i")
            case Fired():
                new = fired_record(ROUTES, message)
            case _:
                new = schedule_record(ROUTES, message)
        at_ms = START_MS + offset
        found.append(Record(new.topic, 0, offset, at_ms, new.key, new.value, new.headers))
    return found


def test_a_definition_shows_what_it_is_and_hides_what_is_sensitive() -> None:
    one = Defined("a", "i", 3, plan(overlap=Overlap.QUEUE), CatchUp.ALL, by="me")
    (row,) = schedule_rows(records(one)).defined
    assert row[:6] == ("a", "i", 3, "active", START_MS, "me")
    assert (row.ticks, row.zone, row.tenant, row.type, row.pool) == (
        "every 90s",
        None,
        "acme",
        "t",
        "default",
    )
    assert (row.catch_up, row.overlap) == ("all", "queue")
    assert b"hidden" not in (row.definition or "").encode()
    assert json.loads(row.definition or "")["job"]["payload"] == {"key": "***", "n": 1.5}
    assert row.next_ms == START_MS + 90_000 - START_MS % 90_000


def test_states_and_what_the_next_tick_then_is() -> None:
    past = plan(every_ms=None, at_ms=START_MS - 1)
    broken = plan(every_ms=None, cron="* * * * *", zone="Mars/Olympus")
    for name, one, state in (
        ("a", plan(paused=True), "paused"),
        ("b", past, "ended"),
        ("c", broken, "ended"),
    ):
        (row,) = schedule_rows(records(Defined(name, "i", 1, one))).defined
        assert (row.state, row.next_ms) == (state, None)


def test_the_last_word_of_a_batch_counts_and_a_deleted_one_keeps_what_it_was() -> None:
    batch = records(
        Defined("a", "i", 1, plan()),
        Fired("a", "i", START_MS + 9, START_MS + 9, 2),
        Fired("a", "i", START_MS + 5, START_MS + 5, 1),
        Defined("b", "i", 1, plan()),
        Defined("b", "i", 2, plan(paused=True)),
        Deleted("a", "i", 2, "me"),
        None,
    )
    rows = schedule_rows(batch)
    deleted, paused = rows.defined
    assert (deleted.name, deleted.state, deleted.version, deleted.by, deleted.next_ms) == (
        *("a", "deleted", 2, "me"),
        None,
    )
    assert deleted.type == "t"
    assert (paused.name, paused.state, paused.version) == ("b", "paused", 2)
    assert [(row.through_ms, row.fired, row.at_ms) for row in rows.fired] == [(START_MS + 9, 2, START_MS + 1)]


def test_a_deletion_alone_is_a_row_that_says_no_more_than_that() -> None:
    (row,) = schedule_rows(records(Deleted("a", "i", 2, "me"))).defined
    assert (row.state, row.type, row.definition) == ("deleted", None, None)
