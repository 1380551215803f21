"""The best exponential backoff that hindsight can choose: what a learned policy has to beat."""

from collections.abc import Iterator, Sequence

from core.retrying.arms import Backoff, Spread
from core.retrying.plan import Costs
from core.retrying.simulation import Simulation, scored
from core.retrying.world import World

BASES_S = (1.0, 5.0, 20.0, 60.0, 300.0, 1200.0)
CAPS = (1.0, 16.0, 256.0)
"""As multiples of the base, six hours at most; the first makes the waits equal."""
TRIES = (2, 6, 16)
CAP_MAX_S = 21_600.0


def candidates() -> Iterator[Backoff]:
    """Yield every backoff that is tried: full and equal jitter, from a second to twenty minutes."""
    for base_s in BASES_S:
        for cap_s in sorted({min(CAP_MAX_S, base_s * factor) for factor in CAPS}):
            for tries in TRIES:
                for spread in (Spread.FULL, Spread.EQUAL):
                    name = f"{base_s:g} s to {cap_s:g} s x{tries}, {spread.name.lower()} jitter"
                    yield Backoff(name, base_s, cap_s, tries, spread=spread)


def tuned(worlds: Sequence[World], costs: Costs, among: Sequence[Backoff] = ()) -> Backoff:
    """Give the backoff that costs least in some worlds; of equal ones the first."""
    return min(among or tuple(candidates()), key=lambda backoff: cost_in(worlds, backoff, costs))


def cost_in(worlds: Sequence[World], arm: Backoff, costs: Costs) -> float:
    """Give what a job costs under an arm, over all jobs of some worlds."""
    outcomes = [one for world in worlds for one in Simulation(world, arm).run()]
    return scored(outcomes, costs).cost
