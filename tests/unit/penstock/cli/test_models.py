"""Models as people see them."""

import msgspec
import pytest

from penstock.cli.models_show import (
    cells_of,
    columns_of,
    difference_of,
    metric_rows,
    model_of,
    role_of,
    standing_of,
    standing_text,
)
from schemas.model_book import ModelBook
from schemas.models import Purpose
from tests.support.models_under_test import CREATED_MS, NAMES, a_manifest, a_standing


def test_who_orders_is_said_with_who_said_so_and_why() -> None:
    assert "none was ever promoted" in standing_text(None, Purpose.ORDER)
    said = standing_text(a_standing("m2", "m1", "m3", reason="better"), Purpose.ORDER)
    assert "by model m2" in said
    assert "(since 2023-11-14T22:13:20Z by ann: better; previous m1; shadow m3)" in said
    assert "running mean" in standing_text(a_standing(None, "m1"), Purpose.ORDER)
    off = standing_text(a_standing("m2", enabled=False), Purpose.ORDER)
    assert "ordered by the rule; `penstock models enable` gives the order back to m2" in off


def test_what_times_retries_is_said_in_words_of_its_own() -> None:
    def said(*names: str | None, enabled: bool = True) -> str:
        return standing_text(a_standing(*names, enabled=enabled), Purpose.RETRY)

    assert "timed without a model" in standing_text(None, Purpose.RETRY)
    assert "Retries are timed by model m2, where their policy is learned" in said("m2", "m1")
    assert "by what each dlq_handler saw, without a model" in said(None, "m1")
    assert "`penstock models enable --purpose retry` gives them back to m2" in said("m2", enabled=False)
    assert "order" not in said("m2", "m1") + said(None) + said("m2", enabled=False)


@pytest.mark.parametrize("purpose", Purpose)
def test_a_line_of_the_list_has_a_cell_for_every_column(purpose: Purpose) -> None:
    metrics = {"failed_pr_auc": 0.6, "run_spearman": 0.9, "log_score": 1.25, "failures": 250.0}
    manifest = msgspec.structs.replace(a_manifest(b"x", purpose=purpose), metrics=metrics)
    cells = cells_of(ModelBook(purpose), manifest, CREATED_MS / 1000)
    line = dict(zip(columns_of(purpose), cells, strict=True))
    wanted = {Purpose.ORDER: {"run_spearman": 0.9}, Purpose.RETRY: {"log_score": 1.25, "failures": 250.0}}
    assert line.items() >= wanted[purpose].items()
    # Its bytes are gone; its features are those of its purpose.
    assert line["role"] == "bytes gone"
    assert model_of(ModelBook(purpose), manifest)["purpose"] == purpose.value


def test_json_of_who_orders_has_a_time_people_can_read_too() -> None:
    assert standing_of(None) is None
    found = standing_of(a_standing("m2"))
    assert found is not None
    assert (found["champion"], found["enabled"], found["at"]) == ("m2", True, "2023-11-14T22:13:20Z")


def test_the_role_of_a_model_says_also_why_it_cannot_be_used() -> None:
    book = ModelBook()
    manifest = a_manifest(b"x", features=NAMES[:-1])
    book.standing = a_standing("other", manifest.id, manifest.id)
    assert role_of(book, manifest) == "previous, shadow, other features, bytes gone"
    assert model_of(book, manifest)["misfit"] == f"it lacks {NAMES[-1]}"


def test_a_line_of_the_list_fits_and_says_how_old_a_model_is() -> None:
    manifest = msgspec.structs.replace(a_manifest(b"x"), judged="better " * 20)
    cells = cells_of(ModelBook(), manifest, CREATED_MS / 1000 + 7200)
    assert cells[3] == "2h ago"
    assert str(cells[-1]).endswith("…")
    assert len(str(cells[-1])) == 60


def test_a_difference_has_both_sides_also_of_what_only_one_has() -> None:
    one = msgspec.structs.replace(a_manifest(b"x", 1, (*NAMES, "moon")), metrics={"a": 0.5, "b": 2.0}, rows=9)
    other = msgspec.structs.replace(a_manifest(b"y"), metrics={"a": 0.25, "c": 1.0})
    found = difference_of(one, other)
    assert found["metrics"] == [
        {"metric": "a", "one": 0.5, "other": 0.25, "difference": 0.25},
        {"metric": "b", "one": 2.0, "other": None, "difference": None},
        {"metric": "c", "one": None, "other": 1.0, "difference": None},
    ]
    assert (found["features_added"], found["features_removed"]) == (["moon"], [])
    assert found["about"]["rows"] == [9, 12_345]
    assert metric_rows([]) == []
