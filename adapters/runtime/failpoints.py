"""Arms failpoints as ``PENSTOCK_FAILPOINTS`` says: when a place is reached, something goes wrong.

A specification is ``SERVICE.POINT:ACTION[:OPTION=VALUE]...``, several separated by ``;``. Names may be
patterns (``executor.*``). For tests of crashes; where it is not set nothing of this runs.
"""

import logging
import math
import os
import random
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TypeVar, assert_never

from ports.failpoint_list import PLACES, Place
from ports.failpoints import Failpoint, arm

logger = logging.getLogger(__name__)

Number = TypeVar("Number", int, float)

BLOCK_S = 40.0
"""Above ``SESSION_TIMEOUT_MS`` of a group member: a blocked event loop costs it its partitions."""


class Action(StrEnum):
    """What happens to the process."""

    KILL = "kill"
    """SIGKILL: no cleanup, nothing flushed."""
    EXIT = "exit"
    """Exit code 1 at once, likewise without cleanup."""
    STOP = "stop"
    """SIGSTOP: it stands still until somebody sends SIGCONT."""
    BLOCK = "block"
    """The event loop is blocked for ``s`` seconds, in which not even heartbeats go out."""
    ERROR = "error"
    """An unexpected exception is raised there."""
    SAY = "say"
    """A line in the log, nothing else."""


class FailpointReachedError(Exception):
    """Raised at a failpoint on request; nothing may know how to treat it."""


class FailpointSpecificationError(Exception):
    """``PENSTOCK_FAILPOINTS`` cannot be read; the message says what it may be."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to happen at the places whose name matches.

    Parameters
    ----------
    after
        So often the place is passed before anything happens.
    times
        Nothing happens any more after it has so often; 0: always.
    p
        Probability each time, in (0, 1].
    seed
        Of the draws, so that they can be had again; -1 takes a new one, and says which.
    s
        How long to block, seconds.
    """

    pattern: str
    action: Action
    after: int = 0
    times: int = 1
    p: float = 1.0
    seed: int = -1
    s: float = BLOCK_S


def parse(specification: str) -> list[Order]:
    """Read a specification; empty gives nothing.

    Raises
    ------
    FailpointSpecificationError
        It names an unknown place, action or option, or a value out of range; the message names the known.
    """
    return [_order(part.strip()) for part in specification.split(";") if part.strip()]


def arm_from(specification: str, service: str) -> None:
    """Arm the failpoints of this service; those of other services are checked and left alone.

    Raises
    ------
    FailpointSpecificationError
        See ``parse``.
    """
    orders = parse(specification)
    actions: dict[Failpoint, Callable[[], None]] = {}
    for place in PLACES:
        if place.service == service and (order := _last_match(orders, place)) is not None:
            actions[place.point] = Trigger(place.name, order)
    if actions:
        logger.warning("failpoints are armed: %s", specification)
    arm(actions)


class Trigger:
    """Counts how often its place is passed, and acts when its order says so."""

    def __init__(self, name: str, order: Order) -> None:
        self._name = name
        self._order = order
        self._seed = order.seed if order.seed >= 0 else random.randrange(2**32)
        self._draws = random.Random(self._seed)
        self._passed = 0
        self._acted = 0

    def __call__(self) -> None:
        """Take one passing into account."""
        order = self._order
        self._passed += 1
        if self._passed <= order.after or (order.times and self._acted >= order.times):
            return
        if order.p < 1 and self._draws.random() >= order.p:
            return
        self._acted += 1
        # Written before acting: for some actions there is no afterwards.
        logger.warning(
            "failpoint %s: %s",
            self._name,
            order.action,
            extra={"failpoint": self._name, "passed": self._passed, "seed": self._seed},
        )
        _act(self._name, order)


def _act(name: str, order: Order) -> None:
    match order.action:
        case Action.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        case Action.EXIT:
            os._exit(1)
        case Action.STOP:
            os.kill(os.getpid(), signal.SIGSTOP)
        case Action.BLOCK:
            time.sleep(order.s)
        case Action.ERROR:
            raise FailpointReachedError(f"failpoint {name} was told to raise this")
        case Action.SAY:
            pass
        case _:
            assert_never(order.action)


def _last_match(orders: Iterable[Order], place: Place) -> Order | None:
    matches = [order for order in orders if fnmatchcase(place.name, order.pattern)]
    return matches[-1] if matches else None


def _order(text: str) -> Order:
    pattern, *rest = (part.strip() for part in text.split(":"))
    if not any(fnmatchcase(place.name, pattern) for place in PLACES):
        raise _refusal(text, f"there is no failpoint {pattern!r}; known: {_listed(p.name for p in PLACES)}")
    if not rest or rest[0] not in set(Action):
        raise _refusal(text, f"it needs one of the actions {_listed(Action)}")
    order = Order(pattern, Action(rest[0]))
    for option in rest[1:]:
        order = _with_option(text, order, option)
    return order


def _with_option(text: str, order: Order, option: str) -> Order:
    name, _, value = option.partition("=")
    try:
        match name:
            case "after":
                return replace(order, after=_not_negative(int(value)))
            case "times":
                return replace(order, times=_not_negative(int(value)))
            case "seed":
                return replace(order, seed=_not_negative(int(value)))
            case "p":
                return replace(order, p=_share(float(value)))
            case "s":
                return replace(order, s=_not_negative(float(value)))
            case _:
                raise _refusal(text, f"there is no option {name!r}; known: after, times, p, seed, s")
    except ValueError as error:
        raise _refusal(text, f"{value!r} is no value of {name!r}") from error


def _not_negative(value: Number) -> Number:
    if not 0 <= value < math.inf:
        raise ValueError(value)
    return value


def _share(value: float) -> float:
    if not 0 < value <= 1:
        raise ValueError(value)
    return value


def _refusal(text: str, reason: str) -> FailpointSpecificationError:
    return FailpointSpecificationError(
        f"PENSTOCK_FAILPOINTS: {text!r} cannot be read: {reason}. "
        "It is SERVICE.POINT:ACTION[:after=N][:times=N][:p=P][:seed=N][:s=SECONDS], separated by `;`"
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
