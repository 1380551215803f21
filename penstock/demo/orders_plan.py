"""A burst of jobs whose costs differ by tenant and type, and what their waits come to. Pure."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

NAP_TYPES = ("nap.mail", "nap.invoice", "nap.image", "nap.report", "nap.index", "nap.export")
TENANTS = ("acme", "bluebird", "coyote", "dune")
TYPICAL_S, BETWEEN_SIGMA = 0.22, 1.0
SIZE_SIGMA, NOISE_SIGMA = 0.6, 0.15
"""Run times are lognormal: a tenant's type around a typical job, each job around its type by the size of its
payload, with some noise. Running means know the first, a model can see the second."""
CHARS, CHARS_MAX = 300, 8000
"""Length of the text of a job of usual size, and of the largest."""
LEAST_S, MOST_S = 0.005, 4.0
FAILING_PAIRS, FAILS = 3, 0.5
"""So many tenants' types fail so often, the others never."""
OVERLOAD = 1.6
"""Work comes so many times as fast as the slots can do it, until all of it has come."""
JOBS_MAX = 6000


class Arrival(NamedTuple):
    """One job of the burst."""

    at_s: float
    type: str
    tenant: str
    run_s: float
    fails: bool = False
    chars: int = 0
    """Length of a text in its payload."""


def burst(seed: int, slots: int, seconds: float, *, reversed_: bool = False) -> list[Arrival]:
    """Make a burst that keeps so many slots busy for about so long.

    Parameters
    ----------
    reversed_
        What was cheap is dear and the other way round: the same work comes from other tenants' types.
    """
    dice = random.Random(seed)
    pairs = [(type_, tenant) for type_ in NAP_TYPES for tenant in TENANTS]
    typical = {pair: TYPICAL_S * math.exp(dice.gauss(0, BETWEEN_SIGMA)) for pair in pairs}
    if reversed_:
        cheapest_first = sorted(pairs, key=typical.__getitem__)
        costs = [typical[pair] for pair in reversed(cheapest_first)]
        typical = dict(zip(cheapest_first, costs, strict=True))
    failing = set(dice.sample(pairs, FAILING_PAIRS))
    drawn: list[tuple[str, str, float, bool, int]] = []
    work_s = 0.0
    while work_s < slots * seconds and len(drawn) < JOBS_MAX:
        pair = dice.choice(pairs)
        size = math.exp(dice.gauss(0, SIZE_SIGMA))
        run_s = min(MOST_S, max(LEAST_S, typical[pair] * size * math.exp(dice.gauss(0, NOISE_SIGMA))))
        fails = pair in failing and dice.random() < FAILS
        drawn.append((*pair, run_s, fails, min(CHARS_MAX, round(CHARS * size))))
        work_s += run_s
    span_s = work_s / slots / OVERLOAD
    at_s = sorted(dice.uniform(0, span_s) for _ in drawn)
    return [Arrival(at, *job) for at, job in zip(at_s, drawn, strict=True)]


@dataclass(frozen=True)
class OrderResult:
    """How long jobs waited under one order, seconds from ready to started.

    Attributes
    ----------
    ordered_by
        How many dispatches whose word ordered: ``rule``, ``ewma``, or a model.
    """

    order: str
    what: str
    jobs: int
    mean_s: float
    p50_s: float
    p99_s: float
    max_s: float
    ordered_by: dict[str, int]


def result_of(order: str, what: str, waits_s: Sequence[float], ordered_by: dict[str, int]) -> OrderResult:
    """Sum up the waits of one burst; there is at least one."""
    ordered = sorted(waits_s)

    def rank(share: float) -> float:
        return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 3)

    mean_s = round(math.fsum(ordered) / len(ordered), 3)
    return OrderResult(order, what, len(ordered), mean_s, rank(0.5), rank(0.99), rank(1.0), ordered_by)
