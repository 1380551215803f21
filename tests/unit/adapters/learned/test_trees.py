"""What is found wrong with trees before anybody predicts with them."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.learned.boosted import booster_of
from adapters.learned.trees import problem_of
from core.learning.features import FEATURES
from tests.support.small_models import small_heads

COLUMNS = len(FEATURES)


def a_document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(bytes(booster_of(small_heads().failed[0]).save_raw("json")))
    return document


DOCUMENT = a_document()


def trees(document: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document["learner"]["gradient_booster"]["model"]["trees"]
    return found


LARGEST = max(range(len(trees(DOCUMENT))), key=lambda number: len(trees(DOCUMENT)[number]["left_children"]))


def test_all_heads_as_they_are_trained_have_no_problem() -> None:
    heads = small_heads()
    assert heads.run_high is not None
    for head in (*heads.run, *heads.failed, heads.run_high):
        assert problem_of(json.loads(bytes(booster_of(head).save_raw("json"))), COLUMNS) is None


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("left_children", 1_000_000, "a child that is not one"),
        ("left_children", 0, "a child that is not one"),
        ("left_children", -7, "a child that is not one"),
        ("right_children", -1, "a child that is not one"),
        ("split_indices", COLUMNS, "split by a column"),
        ("split_indices", -1, "split by a column"),
        ("split_conditions", float("nan"), "no finite number"),
        ("base_weights", float("inf"), "no finite number"),
        ("split_type", 1, "categories"),
    ],
)
def test_an_edited_root_is_found(column: str, value: float, problem: str) -> None:
    document = copy.deepcopy(DOCUMENT)
    trees(document)[LARGEST][column][0] = value
    assert problem.replace("split by", "splits by") in (problem_of(document, COLUMNS) or "")


def test_two_parents_and_what_nobody_reaches_are_found() -> None:
    document = copy.deepcopy(DOCUMENT)
    tree = trees(document)[LARGEST]
    tree["left_children"][0] = tree["right_children"][0]
    assert "two parents" in (problem_of(document, COLUMNS) or "")
    document = copy.deepcopy(DOCUMENT)
    tree = trees(document)[LARGEST]
    tree["left_children"][0] = tree["right_children"][0] = -1
    assert "cannot be reached" in (problem_of(document, COLUMNS) or "")


def test_another_kind_of_booster_or_of_data_is_named() -> None:
    document = copy.deepcopy(DOCUMENT)
    document["learner"]["gradient_booster"]["name"] = "gblinear"
    assert "gblinear" in (problem_of(document, COLUMNS) or "")
    assert f"has {COLUMNS} features, and a vector 7" in (problem_of(DOCUMENT, 7) or "")
    assert "no booster" in (problem_of({"learner": []}, COLUMNS) or "")


@pytest.mark.parametrize(
    ("name", "value"), [("tree_info", [1]), ("iteration_indptr", [0, 99]), ("trees", [])]
)
def test_what_tells_rounds_and_outputs_apart_must_be_plain(name: str, value: list[int]) -> None:
    document = copy.deepcopy(DOCUMENT)
    document["learner"]["gradient_booster"]["model"][name] = value
    assert problem_of(document, COLUMNS) is not None


def walks_out(tree: dict[str, Any], columns: int) -> bool:
    """Whether a prediction could go outside the tree or in a circle: tried on every way through it."""
    nodes = len(tree["left_children"])
    waiting, steps = [0], 0
    while waiting:
        node, steps = waiting.pop(), steps + 1
        if not 0 <= node < nodes or steps > nodes:
            return True
        left, right = tree["left_children"][node], tree["right_children"][node]
        if left == -1 and right == -1:
            continue
        if not 0 <= tree["split_indices"][node] < columns:
            return True
        waiting += [left, right]
    return False


@given(st.data())
def test_whatever_is_edited_no_tree_that_passes_leads_out_of_itself(draw: st.DataObject) -> None:
    document = copy.deepcopy(DOCUMENT)
    tree = trees(document)[LARGEST]
    nodes = len(tree["left_children"])
    for _ in range(draw.draw(st.integers(1, 4))):
        column = draw.draw(st.sampled_from(["left_children", "right_children", "split_indices"]))
        tree[column][draw.draw(st.integers(0, nodes - 1))] = draw.draw(st.integers(-2, nodes + 1))
    if problem_of(document, COLUMNS) is None:
        assert not walks_out(tree, COLUMNS)
