"""Snapshots of the gates on the log in memory: where a restart begins, and where it must not."""

import pytest

from adapters.memory.appender import MemoryAppender
from adapters.memory.broker import MemoryBroker
from adapters.memory.reader import MemoryReader
from core.gates.gate import Gate
from core.gates.id_gate import GateGapError
from core.gates.order_gate import OrderGate, key_text
from core.log import NewRecord, TopicPartition
from core.states import State
from ports.gate_snapshots import GateSnapshots
from schemas.gate_logs import LEDGER, GateLogs
from schemas.snapshots import SnapshotManifest
from schemas.topics import RouteMap
from tests.support.order_logs import TENANT, End, Entered, Event, record
from tests.support.verdicts import EPOCH

ROUTES = RouteMap(partitions=1)
ORDERS = TopicPartition(ROUTES.orders, 0)
LEDGER_0 = TopicPartition(ROUTES.ledger, 0)
STORY: list[Event] = [Entered(0, "a"), Entered(2, "a"), End(0, 1, State.DEAD), Entered(4, "a")]


class Gates:
    """The folds of one process, and its way to their snapshots."""

    def __init__(self, broker: MemoryBroker, epoch: str = EPOCH) -> None:
        self.logs = GateLogs(ROUTES, epoch)
        self.snapshots = GateSnapshots(ROUTES, epoch, self.logs, MemoryReader(broker), "one")
        self._appender = MemoryAppender(broker)
        self._broker = broker

    async def restore(self, orders: int = 0) -> None:
        await self.snapshots.restore({LEDGER_0: 0, ORDERS: orders})

    def read(self, until: int) -> None:
        for read in self._broker.records(ORDERS.topic):
            if self.logs.next_offset(ORDERS) <= read.offset < until:
                self.logs.take(read)

    async def save(self) -> bool:
        return await self.snapshots.save(self._appender, self.logs.image(0))

    @property
    def order(self) -> OrderGate:
        gate = self.logs.folds(0).gates[Gate.ORDER]
        assert isinstance(gate, OrderGate)
        return gate


@pytest.fixture
def broker() -> MemoryBroker:
    made = MemoryBroker(lambda: 0)
    made.create_topics(ROUTES.specs())
    for offset, event in enumerate(STORY):
        written = record(offset, event)
        made.write(NewRecord(ORDERS.topic, 0, None, written.value, written.headers))
    return made


async def test_a_restart_begins_at_the_newest_snapshot(broker: MemoryBroker) -> None:
    first, second = Gates(broker), Gates(broker)
    await first.restore()
    for until in (2, 3):
        first.read(until)
        assert await first.save()
    assert not await first.save(), "there is one as new"
    await second.restore()
    assert second.logs.next_offset(ORDERS) == 3
    assert [entry.place.offset for entry in second.order.waiting(key_text(TENANT, "a"))] == []
    second.read(4)
    first.read(4)
    assert second.order.image() == first.order.image()
    workflows = TopicPartition(ROUTES.workflows, 0)
    assert await second.snapshots.keep_from(0) == {LEDGER_0: 0, workflows: 0, ORDERS: 1}


async def test_without_a_snapshot_it_begins_where_the_logs_begin_but_in_no_gate_that_was_trimmed(
    broker: MemoryBroker,
) -> None:
    for _ in range(5):
        broker.write(NewRecord(LEDGER_0.topic, 0, None, b"{}"))
    broker.trim(LEDGER_0, 3)
    gates = Gates(broker)
    await gates.restore()
    assert (gates.logs.next_offset(LEDGER_0), gates.logs.next_offset(ORDERS)) == (3, 0)
    broker.trim(ORDERS, 1)
    with pytest.raises(GateGapError, match="restore the topic of snapshots"):
        await Gates(broker).restore()


async def test_snapshots_of_another_epoch_or_with_a_gate_that_is_unknown_are_passed_over(
    broker: MemoryBroker,
) -> None:
    other = Gates(broker, "other")
    await other.save()
    gates = Gates(broker)
    assert await gates.snapshots.load(0) is None
    assert not gates.logs.can_use(
        SnapshotManifest(EPOCH, 0, 0, 1, 1, "", 1, 0, "x", positions={LEDGER: 0, "weather": 0})
    )


async def test_a_partition_that_comes_back_goes_on_where_others_have_brought_it(broker: MemoryBroker) -> None:
    old, new = Gates(broker), Gates(broker)
    for gates in (old, new):
        await gates.restore()
    new.read(4)
    assert await new.save()
    broker.trim(ORDERS, (await new.snapshots.keep_from(0))[ORDERS])
    await old.restore(orders=4)
    assert old.order.image() == new.order.image()
