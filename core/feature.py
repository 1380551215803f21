"""A table of features: what a column is, and what names the table as a whole."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple


class Feature(NamedTuple):
    """One column; its place in a table is its place in the vector."""

    name: str
    unit: str
    default: float


def fingerprint_of(table: Sequence[Feature]) -> str:
    """Name the columns and their order: vectors that were logged under another one mean something else."""
    return hashlib.sha256("\n".join(feature.name for feature in table).encode()).hexdigest()[:8]


def places_of(table: Sequence[Feature]) -> dict[str, int]:
    """Give the place of each feature by its name."""
    return {feature.name: place for place, feature in enumerate(table)}
