"""Faults at one chosen moment: after the effect, between due and produce, in the middle of an event loop."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import psycopg
from aiokafka.admin import AIOKafkaAdminClient

from tests.chaos import claims
from tests.chaos.armed import READY_TIMEOUT_S, ArmedRun, taken_over
from tests.chaos.heartbeats import longest_silences_s
from tests.chaos.load import Load
from tests.chaos.orders import Kind, Mix
from tests.chaos.rig.process import NotInTimeError, wait_until
from tests.chaos.scenario import FaultDidNotBiteError, Field, Scenario
from tests.chaos.scenarios.failpoints import LOAD, REACH_TIMEOUT_S
from tests.chaos.stack import Stack

KILLS = 3
AFTER_MAX = 5
BLOCK_S = 40.0
"""Above the session timeout of a group member, 30 s, so that it is evicted while it is blocked."""
UNREADY_S = 10.0
LOOK_EVERY_S = 0.5
AWAY_S = 30.0
POLL_S = 0.5

_QUIET: Mapping[Kind, float] = MappingProxyType({Kind.THREAD: 0.15, Kind.SLOW: 0.05, Kind.POISON: 0.01})
WORK_THAT_SUCCEEDS = Load(rate_per_s=20, mix=Mix(kinds=_QUIET))


class DidNotComeBackError(Exception):
    """A service ended because its event loop had been blocked."""


class HeartbeatsStoppedError(Exception):
    """A handler kept its executor from saying that it lives."""


def kill_again_and_again(service: str, point: str, fault: str, field: Field) -> None:
    """Kill one instance at one point, several times, each time after a drawn number of passings."""
    name = field.rng.choice([instance.name for instance in field.stack.services.of(service)])
    place = f"{service}.{point}"
    with field.fault(fault), taken_over(field, name):
        for _ in range(KILLS):
            run = ArmedRun(field, name, f"{place}:kill:after={field.rng.randint(0, AFTER_MAX)}")
            wait_until(lambda run=run: not run.is_alive, f"the kill at {place}", REACH_TIMEOUT_S)  # type: ignore[misc]
            run.require_killed_at(place)


def block_loop(service: str, point: str, group: str, field: Field) -> None:
    """Block the event loop of one instance until it is evicted; it must come back by itself."""
    name = field.rng.choice([instance.name for instance in field.stack.services.of(service)])
    place = f"{service}.{point}"
    with taken_over(field, name) as instance:
        orders = f"{place}:block:after={field.rng.randint(0, AFTER_MAX)}:s={BLOCK_S:g}"
        run = ArmedRun(field, name, orders)
        run.wait_acted_at(place, REACH_TIMEOUT_S)
        awake_at_s = time.monotonic() + BLOCK_S
        with field.fault(claims.LOOP_BLOCKED):
            wait_until(lambda: not instance.is_ready, f"{name} says that its loop is blocked", UNREADY_S)
            _wait_evicted(field.stack, group, name)
            field.history.add("note", claims.EVICTED, name=name)
            field.go_on(awake_at_s - time.monotonic())
        if not run.is_alive:
            raise DidNotComeBackError(instance.process.describe())
        wait_until(lambda: name in members_of(field.stack, group), f"{name} in its group", READY_TIMEOUT_S)
        wait_until(lambda: instance.is_ready, f"{name} ready", READY_TIMEOUT_S)


def _wait_evicted(stack: Stack, group: str, name: str) -> None:
    try:
        wait_until(lambda: name not in members_of(stack, group), "", BLOCK_S, LOOK_EVERY_S)
    except NotInTimeError as error:
        raise FaultDidNotBiteError(f"{name} was not evicted within {BLOCK_S:.0f} s") from error


def members_of(stack: Stack, group: str) -> frozenset[str]:
    """Name the clients that the broker counts as members of a group."""

    async def ask() -> frozenset[str]:
        admin: Any = AIOKafkaAdminClient(**stack.kafka.client_options())
        await admin.start()
        try:
            (answer,) = await admin.describe_consumer_groups([stack.routes.group(group)])
        finally:
            await admin.close()
        return frozenset(member[1] for described in answer.groups for member in described[5])

    return asyncio.run(ask())


def block_handler(field: Field) -> None:
    """Let a task block its worker's event loop; its executor's heartbeats must not be late for it."""
    groups = [f"executor.{pool}" for pool in field.stack.routes.pools]
    before = [members_of(field.stack, group) for group in groups]
    with field.fault(claims.HANDLER_BLOCKED):
        begin_ms = int(time.time() * 1000)
        field.load.also(Kind.BLOCKING, BLOCK_S)
        wait_until(lambda: "running" in _blocking_states(field.stack), "it runs", REACH_TIMEOUT_S, POLL_S)
        wait_until(lambda: "running" not in _blocking_states(field.stack), "its end", 2 * BLOCK_S, POLL_S)
    if [members_of(field.stack, group) for group in groups] != before:
        raise HeartbeatsStoppedError(f"members were {before}")
    gaps_s = asyncio.run(longest_silences_s(field.stack, begin_ms))
    field.note(f"longest time between two heartbeats: {gaps_s}")
    if not gaps_s or max(gaps_s.values()) >= field.stack.spec.lease_s / 2:
        raise HeartbeatsStoppedError(f"longest time between two heartbeats: {gaps_s}")


def _blocking_states(stack: Stack) -> list[str]:
    """Give the states of blocking jobs of this scenario; those of earlier ones have ended well."""
    with psycopg.connect(stack.database.conninfo) as connection:
        rows = connection.execute(
            "select state from jobs where type = 'chaos.blocking' and state <> 'succeeded'"
        )
        return [str(state) for (state,) in rows.fetchall()]


def without_decider(field: Field) -> None:
    """Leave the pipeline without its dlq_handler for a while."""
    services = field.stack.services
    name = field.rng.choice([instance.name for instance in services.of("dlq_handler")])
    with field.fault(claims.DECIDER_AWAY):
        services.hold_down(name)
        try:
            field.go_on(AWAY_S)
        finally:
            services.revive(name)
    services.wait_ready(READY_TIMEOUT_S)


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "executor-killed-before-it-can-say",
        "F20",
        "An executor is killed when tasks have ended and before it said so; each is lost, and run once more.",
        partial(kill_again_and_again, "executor", "task_ended", "executor killed after the effect"),
        load=WORK_THAT_SUCCEEDS,
        check=claims.done_but_not_closed_is_lost_and_done_once_more,
    ),
    Scenario(
        "prioritizer-blocked",
        "F22",
        "The prioritizer's event loop is blocked for 40 s; it is evicted, comes back, and nothing is lost.",
        partial(block_loop, "prioritizer", "polled", "prioritizer"),
        load=WORK_THAT_SUCCEEDS,
        recovery_limit_s=120.0,
    ),
    Scenario(
        "executor-blocked",
        "F22",
        "An executor's event loop is blocked for 40 s; it is evicted, and its peer takes over.",
        partial(block_loop, "executor", "claim_read_back", "executor.default"),
        load=WORK_THAT_SUCCEEDS,
        recovery_limit_s=120.0,
        check=claims.peers_take_over_what_was_evicted,
    ),
    Scenario(
        "handler-blocked",
        "F22",
        "A task blocks its worker's event loop for 40 s; no heartbeat is late, no dispatch is lost.",
        block_handler,
        # A cancelled job beside the one that blocks would cost both their worker, as it must.
        load=replace(WORK_THAT_SUCCEEDS, mix=replace(WORK_THAT_SUCCEEDS.mix, cancelled=0.0)),
        recovery_limit_s=120.0,
        check=claims.a_blocked_handler_is_left_to_finish,
    ),
    Scenario(
        "dlq-handler-away",
        "F32",
        "The dlq_handler is dead for 30 s; failures stand in the log and are decided when it is back.",
        without_decider,
        load=LOAD,
        check=claims.failures_stand_until_they_are_decided,
    ),
    Scenario(
        "scheduler-killed-at-a-tick",
        "F33",
        "The scheduler is killed when jobs have left its wheel and are not appended; each is released once.",
        partial(kill_again_and_again, "scheduler", "due", claims.DUE_KILLED),
        load=LOAD,
        check=claims.what_fell_due_meanwhile_is_released_once,
    ),
)
