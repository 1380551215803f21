"""Networks that are cut, deaf, lossy, slow, or that lose only the answer."""

import asyncio
from contextlib import ExitStack

from adapters.kafka.reader import reading
from core.log import TopicPartition
from penstock.connection import KafkaConnection
from tests.chaos.load import Load
from tests.chaos.orders import Mix
from tests.chaos.rig.proxy import Direction
from tests.chaos.rig.tools import Tool
from tests.chaos.scenario import FaultDidNotBiteError, Field, Scenario
from tests.chaos.scenarios.signs import (
    ledger_leader,
    let_come_in,
    wait_for_acknowledgements,
    wait_for_another_leader,
    wait_for_effects,
)
from tests.chaos.spec import Layout, StackSpec

THREE_APART = StackSpec(brokers=3, layout=Layout.NAMESPACES)
ONE_APART = StackSpec(layout=Layout.NAMESPACES)
PROXIED = StackSpec(layout=Layout.PROXIED)
THREE_BROKER_LOAD = Load(rate_per_s=15.0, after_s=5.0)
MANY_KEYS = Mix(keyed=0.6, repeated=0.1)

CUT_S = 25.0
LOSSY_S = 20.0
SLOW_S = 20.0
SILENT_S = 6.0
RESET_S = 8.0
LOSS = 0.3
BACK_TIMEOUT_S = 120.0


def cut_one_off(field: Field) -> None:
    """Pull the cable of the leader of a ledger partition for 25 s."""
    cluster = field.stack.cluster
    leader = ledger_leader(field)
    with field.fault(f"cut off broker {leader.node_id}", seconds=CUT_S):
        with field.stack.servers.namespace_of(leader.node_id).cut_off():
            leader.is_paused = True
            try:
                wait_for_another_leader(field, leader)
                wait_for_acknowledgements(field)
                wait_for_effects(field)
                field.go_on(CUT_S / 2)
            finally:
                leader.is_paused = False
        cluster.wait_ready(BACK_TIMEOUT_S)
        cluster.wait_in_sync(BACK_TIMEOUT_S)
    field.stack.services.wait_ready()


def deafen_one(field: Field) -> None:
    """Let a leader hear clients but not the other brokers, which hear it."""
    cluster, servers = field.stack.cluster, field.stack.servers
    leader = ledger_leader(field)
    own = servers.namespace_of(leader.node_id)
    others = [one.address for one in servers.namespaces if one is not own]
    with (
        # It leads on in its own eyes, and says so to who asks it.
        field.unwatched(),
        field.fault(f"broker {leader.node_id} is deaf to the others", seconds=CUT_S),
    ):
        with own.deaf_to(*others):
            field.go_on(CUT_S)
            if own.dropped() == 0:
                raise FaultDidNotBiteError("no packet was dropped")
            wait_for_acknowledgements(field)
        cluster.wait_ready(BACK_TIMEOUT_S)
        cluster.wait_in_sync(BACK_TIMEOUT_S)
    field.stack.services.wait_ready()


def lose_packets(field: Field) -> None:
    """Lose three of ten packets on their way to the broker."""
    (own,) = field.stack.servers.namespaces
    with field.fault("lossy link", probability=LOSS, seconds=LOSSY_S):
        with own.losing(LOSS):
            field.go_on(LOSSY_S)
            dropped = own.dropped()
            field.note(f"{dropped} packets lost")
            if dropped < 20:
                raise FaultDidNotBiteError(f"only {dropped} packets were lost")
        wait_for_acknowledgements(field)
    field.stack.services.wait_ready()


def slow_down(field: Field) -> None:
    """Let every answer of the broker take 300 ms more, give or take 50; nothing may time out."""
    (proxy,) = field.stack.servers.proxies
    services = field.stack.services
    with field.fault("slow link", latency_ms=300, jitter_ms=50, seconds=SLOW_S):
        ends = {one.name: len(one.exits) for one in services.instances}
        with proxy.toxic("latency", Direction.TO_CLIENT, latency=300, jitter=50):
            field.go_on(SLOW_S / 2)
            wait_for_acknowledgements(field)
            wait_for_effects(field)
            field.go_on(SLOW_S / 2)
            ended = [one.name for one in services.instances if len(one.exits) > ends.get(one.name, 0)]
            if ended:
                raise AssertionError(f"a slow link ended {ended}")
    services.wait_ready()


def lose_answers(field: Field) -> None:
    """Let records reach the broker but no answer come back; then close the connections."""
    (proxy,) = field.stack.servers.proxies
    with field.fault("answers are lost", seconds=SILENT_S):
        with proxy.toxic("timeout", Direction.TO_CLIENT, timeout=0):
            let_come_in(field, 0.5)
            told, before = field.load.acknowledged, _records(field)
            field.go_on(SILENT_S)
            appended, acknowledged = _records(field) - before, field.load.acknowledged - told
            field.note(f"{appended} records appended, {acknowledged} acknowledged")
            if appended + before <= told or acknowledged:
                raise FaultDidNotBiteError(f"{appended} records appended, {acknowledged} acknowledged")
        wait_for_acknowledgements(field)
    field.stack.services.wait_ready()


def reset_connections(field: Field) -> None:
    """Reset every connection after 100 ms for a while, then cut each after 2000 bytes."""
    (proxy,) = field.stack.servers.proxies
    with field.fault("connections are reset", seconds=2 * RESET_S):
        with ExitStack() as toxics:
            toxics.enter_context(proxy.toxic("reset_peer", Direction.TO_CLIENT, timeout=100))
            field.go_on(RESET_S)
        with proxy.toxic("limit_data", Direction.TO_CLIENT, bytes=2000):
            field.go_on(RESET_S)
        wait_for_acknowledgements(field)
    field.stack.services.wait_ready()


def _records(field: Field) -> int:
    """Count the records of ``jobs``, asked past the proxy."""

    async def ask() -> int:
        routes = field.stack.routes
        async with reading(
            KafkaConnection(bootstrap=field.stack.cluster.direct), client_id="chaos-past-proxy"
        ) as reader:
            places = [TopicPartition(routes.jobs, number) for number in range(routes.partitions)]
            return sum((await reader.end_offsets(places)).values())

    return asyncio.run(ask())


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "broker-cut-off",
        "F6",
        "One of three brokers loses its cable; the others go on and it comes back without a loss.",
        cut_one_off,
        stack=THREE_APART,
        load=THREE_BROKER_LOAD,
        needs=frozenset({Tool.ROOT, Tool.NETNS}),
        recovery_limit_s=150,
    ),
    Scenario(
        "broker-deaf-to-its-peers",
        "F7",
        "A leader hears clients but not its peers; leaders move or come back, nothing is lost.",
        deafen_one,
        stack=THREE_APART,
        load=THREE_BROKER_LOAD,
        needs=frozenset({Tool.ROOT, Tool.NETNS, Tool.IPTABLES}),
        recovery_limit_s=150,
    ),
    Scenario(
        "link-lossy",
        "F8",
        "Three of ten packets to the broker are lost; slower, but no effect repeats beside itself.",
        lose_packets,
        stack=ONE_APART,
        load=Load(rate_per_s=25.0, after_s=5.0),
        needs=frozenset({Tool.ROOT, Tool.NETNS, Tool.IPTABLES}),
        recovery_limit_s=120,
    ),
    Scenario(
        "link-slow",
        "F9",
        "Every answer of the broker takes 300 ms more; jobs go on and no service gives up.",
        slow_down,
        stack=PROXIED,
        load=Load(rate_per_s=25.0),
        needs=frozenset({Tool.TOXIPROXY}),
        recovery_limit_s=90,
    ),
    Scenario(
        "acknowledgements-lost",
        "F10",
        "Records are appended but their answers are lost; sent again by key, each is one job.",
        lose_answers,
        stack=PROXIED,
        load=Load(rate_per_s=30.0, after_s=5.0, mix=MANY_KEYS),
        needs=frozenset({Tool.TOXIPROXY}),
        recovery_limit_s=90,
    ),
    Scenario(
        "connections-reset",
        "F11",
        "Connections are reset and cut again and again; clients come back and offsets never pass work.",
        reset_connections,
        stack=PROXIED,
        load=Load(rate_per_s=25.0, after_s=5.0),
        needs=frozenset({Tool.TOXIPROXY}),
        recovery_limit_s=90,
    ),
)
