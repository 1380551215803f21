"""The proof that the walk bites: with any one rule of the law removed it finds what goes wrong."""

import pytest

from tests.model.ablations import ABLATIONS, first_violation


@pytest.mark.parametrize("name", ABLATIONS)
def test_the_walk_finds_a_violation_without_the_rule(name: str) -> None:
    ablation = ABLATIONS[name]
    violation = first_violation(ablation.rules, ablation.sees, ablation.favourite)
    assert violation is not None, f"nothing went wrong without: {name}"
