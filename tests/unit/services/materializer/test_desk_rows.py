"""From records of ``desk`` to rows."""

from core.log import NewRecord, Record
from schemas.desk import (
    ActBegun,
    ActEnded,
    ActKind,
    DeskRecord,
    Letter,
    LettersTreated,
    Outcome,
    desk_record,
    portions,
)
from schemas.topics import RouteMap
from services.materializer.desk_rows import desk_rows

ROUTES = RouteMap()
JOB = "6f1c9a52-8d0b-5c7e-9b1e-3f6d2a4c8e10"


def records(*messages: DeskRecord | NewRecord) -> list[Record]:
    new = [one if isinstance(one, NewRecord) else desk_record(ROUTES, one) for one in messages]
    return [Record(one.topic, 0, 10 + n, 100 + n, one.key, one.value, ()) for n, one in enumerate(new)]


def test_an_act_its_letters_and_its_end_are_rows() -> None:
    rows = desk_rows(
        records(
            ActBegun("a1", ActKind.REDRIVE, "cli:ann", "fixed", "type=a.b", 2, 5.0, "sets /to"),
            *portions("a1", ActKind.REDRIVE, [Letter(JOB, 3)]),
            ActEnded("a1", Outcome.STOPPED, "it came back"),
            ActBegun("a2", ActKind.PAUSE, "cli:bob"),
        )
    )
    assert rows.acts == [
        ("a1", "redrive", 100, "cli:ann", "type=a.b", "fixed", 2, 5.0, "sets /to"),
        ("a2", "pause", 103, "cli:bob", None, None, 0, None, None),
    ]
    assert rows.letters == [("a1", JOB, 3, "redrive", 101)]
    assert rows.ends == [("a1", "stopped", "it came back", 102)]


def test_what_no_table_can_hold_is_passed_over() -> None:
    unknown = desk_record(ROUTES, ActEnded("a", Outcome.DONE))._replace(value=b'{"kind":"LATER"}')
    nul = desk_record(ROUTES, ActBegun("a", ActKind.DROP, "a\0"))
    odd = LettersTreated("a", ActKind.DROP, (Letter("no id", 1), Letter(JOB, 2**40), Letter(JOB, 0)))
    assert desk_rows(records(unknown, nul, odd)) == ([], [], [])
