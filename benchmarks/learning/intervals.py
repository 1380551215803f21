"""Intervals by tenant, with seeded dice."""

from collections.abc import Callable

import numpy as np

from core.learning.measures import Places, by_cluster, clusters_of


def interval(
    tenants: Places, statistic: Callable[[Places], float], rounds: int, seed: int = 1
) -> tuple[float, float] | tuple[None, None]:
    """Give the 95 % interval of a statistic of rows by drawing whole tenants; no rounds give none."""
    members = clusters_of(tenants)
    dice = np.random.default_rng(seed)
    return by_cluster(members, statistic, dice.integers(0, len(members), (rounds, len(members))))
