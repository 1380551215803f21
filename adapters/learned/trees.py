"""What a booster must look like so that predicting with it stays inside its own memory.

XGBoost checks on loading that a file is whole, not that the trees in it point to nodes and columns that are
there: one that does not crashes at the first prediction that comes by, or goes in a circle.
"""

import math
from collections.abc import Sequence
from typing import Any

NODES_MAX = 4_000_000
"""Of all trees of a head; the shipped ones have some ten thousand."""


def problem_of(document: dict[str, Any], columns: int) -> str | None:
    """Say what is wrong with a booster, given as XGBoost writes it in JSON; None: nothing.

    Parameters
    ----------
    columns
        Features of a vector.
    """
    try:
        return _problem(document["learner"], columns)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        return f"it is no booster of trees as this version writes them ({type(error).__name__}: {error})"


def _problem(learner: dict[str, Any], columns: int) -> str | None:
    booster = learner["gradient_booster"]
    if booster["name"] != "gbtree":
        return f"it is a {booster['name']!r}, not gbtree"
    asked = int(learner["learner_model_param"]["num_feature"])
    if asked != columns:
        return f"it has {asked} features, and a vector {columns}"
    trees = booster["model"]["trees"]
    if not trees:
        return "it has no tree"
    if booster["model"]["tree_info"] != [0] * len(trees):
        return "its trees are for more outputs than one"
    if booster["model"]["iteration_indptr"] != list(range(len(trees) + 1)):
        return "its rounds are not one tree each"
    if sum(len(tree["left_children"]) for tree in trees) > NODES_MAX:
        return f"it has more than {NODES_MAX} nodes"
    for number, tree in enumerate(trees):
        problem = _problem_of_tree(tree, columns)
        if problem is not None:
            return f"tree {number}: {problem}"
    return None


def _problem_of_tree(tree: dict[str, Any], columns: int) -> str | None:
    left, right = tree["left_children"], tree["right_children"]
    split, condition = tree["split_indices"], tree["split_conditions"]
    nodes = len(left)
    parallel = (left, right, split, condition, tree["default_left"], tree["base_weights"], tree["split_type"])
    if nodes == 0 or any(len(values) != nodes for values in parallel):
        return "its columns have different lengths"
    if any(tree["split_type"]) or tree["categories"]:
        return "it splits by categories, which no feature has"
    if not all(math.isfinite(value) for value in (*condition, *tree["base_weights"])):
        return "a split or a leaf is no finite number"
    inner = [node for node in range(nodes) if left[node] != -1 or right[node] != -1]
    if any(not 0 <= split[node] < columns for node in inner):
        return f"a node splits by a column that is not one of {columns}"
    return _problem_of_shape(left, right, inner, nodes - int(tree["tree_param"]["num_deleted"]))


def _problem_of_shape(
    left: Sequence[int], right: Sequence[int], inner: Sequence[int], alive: int
) -> str | None:
    """Ask that all ``alive`` nodes are reached from the root, each from one parent: nothing is a circle."""
    nodes = len(left)
    children = [child for node in inner for child in (left[node], right[node])]
    if any(not 0 < child < nodes for child in children):
        return f"a node has a child that is not one of {nodes} nodes"
    if len(set(children)) != len(children):
        return "a node has two parents"
    reached, waiting = 0, [0]
    while waiting:
        node = waiting.pop()
        reached += 1
        if left[node] != -1:
            waiting += (left[node], right[node])
    if reached != alive:
        return "some nodes cannot be reached from the root"
    return None
