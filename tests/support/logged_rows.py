"""Logged decisions for tests: made-up jobs, replayed."""

from dataclasses import fields, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from adapters.learned.logged import Logged, of_rows
from adapters.learned.rows import Rows
from adapters.recordings.replay import replayed, training_rows
from benchmarks.learning.generator import made_up
from ports.models import Vectors

DAYS = 8.0


def quiet(_: str) -> None:
    """Say nothing."""


@cache
def made_up_rows(jobs: int = 2_500, seed: int = 3) -> tuple[Rows, NDArray[np.int64]]:
    """Give rows and tenants of made-up jobs; the arrays are shared, so they are not to be changed."""
    recorded = made_up(jobs, DAYS, seed)
    return training_rows(recorded, replayed(recorded, quiet)), recorded.tenant


def logged(jobs: int = 2_500, seed: int = 3) -> Logged:
    """Give them as if they had been logged in one pool, by nobody's predictions."""
    rows, tenants = made_up_rows(jobs, seed)
    return replace(of_rows(rows, tenants), pool_names=("default",))


def with_predictions(of: Logged, log_run: NDArray[np.float64], failed: NDArray[np.float64]) -> Logged:
    """Give them as if a champion had said this."""
    return replace(of, log_run=log_run, failed=failed)


def with_vectors(of: Logged, vectors: Vectors) -> Logged:
    """Give them with other vectors."""
    return replace(of, rows=replace(of.rows, vectors=vectors))


def first_of(of: Logged, count: int) -> Logged:
    """Give the first of them."""
    rows = Rows(*(getattr(of.rows, column.name)[:count] for column in fields(of.rows)))
    cut = {
        column.name: getattr(of, column.name)[:count]
        for column in fields(of)
        if column.name not in {"rows", "pool_names"}
    }
    return replace(of, rows=rows, **cut)
