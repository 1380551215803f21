"""The nemesis of a soak: faults drawn from a menu, with quiet spells between; its seed repeats the draws."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from ports.failpoint_list import PLACES
from tests.chaos.armed import ArmedRun, taken_over
from tests.chaos.history import boot_s
from tests.chaos.scenario import FaultDidNotBiteError, Field
from tests.chaos.scenarios import kills, stalls, submits, tables
from tests.chaos.stack import SERVICES

QUIET_S = (4.0, 16.0)
STALL_S = (0.5, 4.0)
ZOMBIE_S = (7.0, 12.0)
"""Beyond a lease of 6 s."""
REACHED_WITHIN_S = 10.0
"""Not a limit, so it does not grow with patience: most are reached at once, or not at all."""
LOOK_EVERY_S = 0.2
PASSED_FIRST = (0, 0, 0, 1, 5, 30)
DEADLY = ("kill", "exit", "error")


@dataclass(frozen=True)
class Strike:
    """One entry of the menu; ``weight`` is how often it is drawn beside the others."""

    name: str
    inject: Callable[[Field], None]
    weight: int = 1


@dataclass(frozen=True)
class Planned:
    """What comes next: a quiet spell, then a strike, which draws from a seed of its own."""

    quiet_s: float
    strike: Strike
    seed: str


def _for_a_while(stall: Callable[[Field, float], None], low_s: float, high_s: float, field: Field) -> None:
    stall(field, round(field.rng.uniform(low_s, high_s), 1))


def reach_failpoint(field: Field) -> None:
    """Start one service again with one of its failpoints armed, and let it die there."""
    rng, services = field.rng, field.stack.services
    # Features and trainer have failpoints too, and do not run in every stack.
    place = rng.choice([one for one in PLACES if services.of(one.service)])
    specification = f"{place.name}:{rng.choice(DEADLY)}:after={rng.choice(PASSED_FIRST)}"
    name = rng.choice([instance.name for instance in services.of(place.service)])
    with field.fault(f"failpoint {specification}", instance=name), taken_over(field, name):
        run = ArmedRun(field, name, specification)
        until_s = boot_s() + REACHED_WITHIN_S
        while run.is_alive and boot_s() < until_s:
            field.go_on(LOOK_EVERY_S)
        # Some stand only on the way out.
        services.terminate(name)
        if not run.has_acted_at(place.name):
            raise FaultDidNotBiteError(f"{name} did not come by {specification}")


MENU: tuple[Strike, ...] = (
    *(Strike(f"{service} killed", partial(kills.kill_service, service), 2) for service in SERVICES),
    *(Strike(f"{service} ended", partial(kills.end_service, service)) for service in SERVICES),
    Strike("executor killed", kills.kill_executor, 3),
    Strike("executor replaced", kills.replace_executor, 3),
    Strike("executor stalled", partial(_for_a_while, stalls.stall_executor, *STALL_S), 2),
    Strike("executor paused beyond its lease", partial(_for_a_while, stalls.stall_executor, *ZOMBIE_S), 2),
    Strike("worker killed", kills.kill_worker, 3),
    Strike("broker killed", kills.kill_broker, 3),
    Strike("broker stalled", partial(_for_a_while, stalls.stall_broker, *STALL_S), 3),
    Strike("postgres killed", kills.kill_postgres, 2),
    Strike("postgres stalled", partial(_for_a_while, stalls.stall_postgres, *STALL_S), 2),
    Strike("table locked", tables.lock_table),
    Strike("connections taken", tables.take_connections),
    Strike("one key in a storm", submits.submit_in_a_storm, 2),
    Strike("failpoint", reach_failpoint, 12),
)


def plans(seed: int, menu: tuple[Strike, ...] = MENU) -> Iterator[Planned]:
    """Draw without end; equal seeds give equal plans."""
    rng = random.Random(f"nemesis {seed}")
    weights = [strike.weight for strike in menu]
    number = 0
    while True:
        (strike,) = rng.choices(menu, weights)
        yield Planned(rng.uniform(*QUIET_S), strike, f"{seed} {number} {strike.name}")
        number += 1
