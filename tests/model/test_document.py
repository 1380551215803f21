"""`docs/delivery.md` names rules and tests that exist."""

import re
from pathlib import Path

from tests.model.ablations import ABLATIONS

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "delivery.md").read_text()
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_RULES = re.compile(r"rules? ((?:\"[^\"]+\"(?:, )?)+)")


def test_every_test_the_law_names_exists() -> None:
    named = _TEST.findall(DOCUMENT)
    assert len(named) > 30
    assert [name for path, name in named if f"def {name}(" not in (ROOT / path).read_text()] == []


def test_every_rule_that_closes_a_hole_is_taken_out_by_an_ablation() -> None:
    named = {rule for group in _RULES.findall(DOCUMENT) for rule in re.findall(r"\"([^\"]+)\"", group)}
    assert len(named) > 10
    assert named <= ABLATIONS.keys()


def test_all_27_holes_are_accounted_for() -> None:
    rows = re.findall(r"^\| H(\d+) .*\| (.+) \|$", DOCUMENT, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 28))
    assert all("`tests/" in closed or "rule" in closed or "Open" in closed for _, closed in rows)
