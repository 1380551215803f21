"""From records of ``models`` to rows."""

import json

import msgspec

from core.log import NewRecord, Record
from schemas.models import (
    Chunk,
    PoolLaw,
    Purpose,
    Removed,
    chunk_record,
    law_record,
    manifest_record,
    removal_record,
    standing_record,
)
from schemas.topics import RouteMap
from services.materializer.model_rows import model_rows
from tests.support.models_under_test import NAMES, a_manifest, a_standing

ROUTES = RouteMap()


def records(*new: NewRecord) -> list[Record]:
    return [Record(one.topic, 0, 10 + n, 100 + n, one.key, one.value, ()) for n, one in enumerate(new)]


def test_a_model_is_one_row_and_each_act_another() -> None:
    manifest = msgspec.structs.replace(a_manifest(b"x"), judged="better", signature="ab")
    rows = model_rows(
        records(
            chunk_record(ROUTES, Chunk(manifest.sha256, 0, b"x")),
            manifest_record(ROUTES, a_manifest(b"x")),
            manifest_record(ROUTES, manifest),
            standing_record(ROUTES, a_standing(manifest.id)),
            law_record(ROUTES, PoolLaw("gpu", 1.0, 9.0, 500, 1)),
            standing_record(ROUTES, a_standing(manifest.id, enabled=False, by="bob", reason="")),
        )
    )
    (model,) = rows.models
    assert (model.id, model.judged, model.parent, model.signed) == (manifest.id, "better", None, True)
    assert json.loads(model.features) == list(NAMES)
    assert json.loads(model.metrics) == manifest.metrics
    assert [
        (act.log_offset, act.said_ms, act.champion, act.enabled, act.said_by, act.reason) for act in rows.acts
    ] == [
        (13, 103, manifest.id, True, "ann", "a test"),
        (15, 105, manifest.id, False, "bob", None),
    ]


def test_what_is_removed_or_cannot_be_read_changes_no_row() -> None:
    manifest = a_manifest(b"x")
    bad = manifest_record(ROUTES, manifest)._replace(value=b"{}")
    gone = removal_record(ROUTES, Removed(id=manifest.id))
    nul = standing_record(ROUTES, a_standing("m\0"))
    assert model_rows(records(bad, gone, nul)) == ([], [])


def test_rows_say_what_models_are_for_and_each_purpose_keeps_its_own() -> None:
    """The same id in both: no model's is, but nothing stops a record that says so."""
    order, retry = a_manifest(b"x"), a_manifest(b"x", purpose=Purpose.RETRY)
    rows = model_rows(
        records(
            manifest_record(ROUTES, retry),
            manifest_record(ROUTES, order),
            standing_record(ROUTES, a_standing("r"), Purpose.RETRY),
            standing_record(ROUTES, a_standing("o")),
        )
    )
    assert [(model.id, model.purpose) for model in rows.models] == [(order.id, "retry"), (order.id, "order")]
    assert [(act.champion, act.purpose) for act in rows.acts] == [("r", "retry"), ("o", "order")]
