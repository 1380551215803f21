"""Brokers that die, stall, restart in turn or are all away."""

import os
import time

from tests.chaos.claims import nobody_is_lost
from tests.chaos.load import Load
from tests.chaos.orders import Kind, Mix
from tests.chaos.rig.process import wait_until
from tests.chaos.scenario import FaultDidNotBiteError, Field, Scenario
from tests.chaos.scenarios.signs import (
    ledger_leader,
    memory_bytes,
    memory_of_services,
    shuffled,
    wait_for_acknowledgements,
    wait_for_another_leader,
    wait_for_effects,
    without_acknowledgements,
)
from tests.chaos.spec import StackSpec

THREE = StackSpec(brokers=3)
DEFAULT_LEASE = StackSpec(lease_s=45.0, heartbeat_s=3.0)
SLOW_JOBS = Mix(kinds={Kind.THREAD: 0.15, Kind.FLAKY: 0.06, Kind.SLOW: 0.15})
"""So that something runs whenever a fault begins."""
THREE_BROKER_LOAD = Load(rate_per_s=15.0, after_s=5.0)
LIGHT = Load(rate_per_s=15.0, after_s=5.0, mix=SLOW_JOBS)

STALL_S = 25.0
ALL_AWAY_S = 60.0
UNREADY_TIMEOUT_S = 40.0
BACK_TIMEOUT_S = 120.0
MEMORY_GROWTH_MAX_BYTES = 96 << 20
"""Of any service, and of the producer, while nothing can be appended."""


def crash_leader(field: Field) -> None:
    """Kill the leader of a ledger partition; the other two go on, and it catches up when it is back."""
    cluster = field.stack.cluster
    leader = ledger_leader(field)
    with field.fault(f"kill broker {leader.node_id} of three"):
        leader.kill()
        try:
            wait_for_another_leader(field, leader)
            wait_for_acknowledgements(field)
            wait_for_effects(field)
        finally:
            leader.start()
            cluster.wait_ready(BACK_TIMEOUT_S)
        cluster.wait_in_sync(BACK_TIMEOUT_S)
    field.stack.services.wait_ready()


def pause_broker(field: Field) -> None:
    """Stop the only broker in its tracks for 25 s, as a long garbage collection does."""
    (broker,) = field.stack.cluster.brokers
    with field.fault("pause the broker", seconds=STALL_S):
        broker.pause()
        try:
            without_acknowledgements(field, STALL_S)
        finally:
            broker.resume()
        wait_for_acknowledgements(field)
    field.stack.services.wait_ready()


def restart_in_turn(field: Field) -> None:
    """End each of three brokers in order and start it again once the two others serve alone."""
    cluster = field.stack.cluster
    with field.fault("rolling restart"):
        for broker in shuffled(field.rng, cluster.brokers):
            field.note(f"broker {broker.node_id} is stopped")
            code = broker.stop()
            if code != 143:  # a JVM that ended in order after SIGTERM
                raise FaultDidNotBiteError(f"broker {broker.node_id} ended with {code}")
            try:
                wait_for_acknowledgements(field)
            finally:
                broker.start()
            cluster.wait_ready(BACK_TIMEOUT_S)
            cluster.wait_in_sync(BACK_TIMEOUT_S)
    field.stack.services.wait_ready()


def all_away(field: Field) -> None:
    """Kill the only broker for a minute: services say they are not ready, and nobody's memory grows."""
    (broker,) = field.stack.cluster.brokers
    services = field.stack.services
    with field.fault("no broker", seconds=ALL_AWAY_S):
        broker.kill()
        try:
            began_s = time.monotonic()
            needs_kafka = {one.name for one in services.instances if one.wanted}
            wait_until(
                lambda: needs_kafka <= set(services.unready()),
                "no service says it is ready",
                UNREADY_TIMEOUT_S,
            )
            before, own = memory_of_services(field), memory_bytes(os.getpid())
            without_acknowledgements(field, max(5.0, ALL_AWAY_S - (time.monotonic() - began_s)))
            _expect_bounded(before, memory_of_services(field))
            _expect_bounded({"producer": own}, {"producer": memory_bytes(os.getpid())})
        finally:
            broker.start()
            field.stack.cluster.wait_ready(BACK_TIMEOUT_S)
        wait_for_acknowledgements(field, BACK_TIMEOUT_S)
    services.wait_ready()


def _expect_bounded(before: dict[str, int], after: dict[str, int]) -> None:
    for name, was in before.items():
        grown = after.get(name, 0) - was
        if was and grown > MEMORY_GROWTH_MAX_BYTES:
            raise AssertionError(f"{name} grew by {grown >> 20} MB while no broker was there")


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "leader-killed",
        "F1",
        "The leader of a ledger partition is killed; two of three brokers go on and nothing is lost.",
        crash_leader,
        stack=THREE,
        load=THREE_BROKER_LOAD,
        recovery_limit_s=120,
    ),
    Scenario(
        "broker-paused",
        "F3",
        "The broker stalls for 25 s, longer than the lease: what ran is lost and runs once more, not twice.",
        pause_broker,
        load=LIGHT,
        recovery_limit_s=90,
    ),
    Scenario(
        "broker-paused-default-lease",
        "F3",
        "The broker stalls for 25 s under the default lease of 45 s: no attempt is lost.",
        pause_broker,
        stack=DEFAULT_LEASE,
        load=LIGHT,
        recovery_limit_s=120,
        check=nobody_is_lost,
    ),
    Scenario(
        "brokers-restarted-in-turn",
        "F4",
        "Three brokers are restarted in order, one after the other; jobs are taken in throughout.",
        restart_in_turn,
        stack=THREE,
        load=THREE_BROKER_LOAD,
        recovery_limit_s=120,
    ),
    Scenario(
        "all-brokers-away",
        "F5",
        "No broker for a minute: services are not ready, memory stays bounded, then everything drains.",
        all_away,
        load=Load(rate_per_s=20.0, after_s=5.0),
        recovery_limit_s=120,
    ),
)
