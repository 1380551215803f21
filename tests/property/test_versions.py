"""Records of this version and of the next fold to the same rows, in any mixture."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from core.ledger.notes import LogLine, Repeated
from core.log import Record
from core.rows_table import Table, empty_table, gather
from schemas.codec import NOTE_KINDS, VERDICT_KINDS
from schemas.ledger import LedgerFolds
from tests.support.ledger_stories import EPOCH, Event, job_id_of, origin_of, stories, written

FILLER = Repeated(origin_of(0), job_id_of(0), origin_of(2))
"""A note that shows in no row: stands where the next version has a kind that this one does not know."""


def rows_of(records: Sequence[Record]) -> Table:
    table = empty_table()
    gather(table, LedgerFolds(EPOCH, with_notes=True).take(records))
    return table


def of_next_version(record: Record, spelled_out: dict[str, Any]) -> Record:
    """Add fields and headers that this version does not know, and write out what it leaves out."""
    raw: dict[str, msgspec.Raw] = msgspec.json.decode(record.value or b"", type=dict[str, msgspec.Raw])
    extra = {"region": msgspec.Raw(b'"eu"'), "cost": msgspec.Raw(b'{"cpu_s":1.5,"parts":[1,2]}')}
    written_out = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in spelled_out.items()}
    value = msgspec.json.encode(written_out | raw | extra)
    headers = (("region", b"eu"), *record.headers, ("schema.minor", b"2"))
    return record._replace(value=value, headers=headers)


def left_out(event: Event) -> dict[str, Any]:
    """Give the optional fields that have their default, which this version does not write."""
    said = msgspec.json.decode(msgspec.json.encode(event), type=dict[str, msgspec.Raw])
    fields = {field.name: field.default for field in msgspec.structs.fields(event)}
    return {
        name: default
        for name, default in fields.items()
        if name not in said and default is not msgspec.NODEFAULT
    }


def unknown_note(record: Record) -> Record:
    body = {"kind": "WEATHER", "origin": origin_of(0), "job_id": job_id_of(0), "degrees": 21}
    return record._replace(value=json.dumps(body).encode(), headers=(("schema", b"2"), ("kind", b"WEATHER")))


@given(stories(), st.data())
def test_records_of_both_versions_mixed_give_the_same_rows(events: list[Event], data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, len(events)), max_size=5))
    told = list(events)
    for place in places:
        told.insert(place, FILLER)
    plain = written(told)
    is_next = data.draw(st.lists(st.booleans(), min_size=len(told), max_size=len(told)))
    mixed = [
        unknown_note(record)
        if event is FILLER
        else (of_next_version(record, left_out(event)) if later else record)
        for event, record, later in zip(told, plain, is_next, strict=True)
    ]
    assert rows_of(mixed) == rows_of(plain)


def test_a_line_of_a_log_may_have_more_parts() -> None:
    line = msgspec.json.decode(b'[1,2,"info","text",{"file":"a.py"}]', type=LogLine)
    assert line == LogLine(1, 2, "info", "text")


def test_no_kind_is_both_note_and_verdict() -> None:
    assert not NOTE_KINDS & VERDICT_KINDS
