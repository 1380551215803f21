"""The load: open loop at a rate, whatever the pipeline does, through the client and as raw records."""

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from penstock.client import Client
from penstock.client.errors import InvalidJob, NotConnected, NotSent, Unacknowledged
from penstock.client.rows import SubmittedRef
from penstock.connection import DatabaseConnection, KafkaConnection, PipelineNames
from penstock.demo.sent import SendOutcome
from penstock.errors import PenstockError
from tests.chaos.history import History
from tests.chaos.orders import TRACE_HEADER, Kind, Mix, Order, Orders, Way
from tests.chaos.sent import SentLedger, Settled

TICK_S = 0.05
CLIENT_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 90.0
AGAIN_AFTER_S = 1.0
STORM_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Load:
    """How much is sent, of what, and for how long before and after the fault."""

    rate_per_s: float = 50.0
    warm_s: float = 3.0
    after_s: float = 3.0
    mix: Mix = field(default_factory=Mix)


class LoadRunner:
    """Sends from a thread of its own until it is stopped.

    Not promised: the rate while the machine is short of CPU; what became due follows as soon as it can.

    Attributes
    ----------
    sent, acknowledged
        Records so far; both only grow.
    """

    def __init__(
        self,
        load: Load,
        seed: int,
        *,
        kafka: KafkaConnection,
        database: DatabaseConnection,
        names: PipelineNames,
        ledger: SentLedger,
        history: History,
    ) -> None:
        self.rate_per_s = load.rate_per_s
        self.sent = 0
        self.acknowledged = 0
        self._orders = Orders(seed, load.mix, ledger.next_send)
        self._kafka, self._database, self._names = kafka, database, names
        self._ledger = ledger
        self._history = history
        self._asked: queue.SimpleQueue[tuple[Kind, float]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Stop sending; returns when every send is settled, or given up as unknown."""
        self._stopping.set()
        self._thread.join(STOP_TIMEOUT_S + 30)
        if self._thread.is_alive():
            raise RuntimeError("the load does not stop")
        self.check()

    def check(self) -> None:
        """Raise what ended the load, if anything did."""
        if self._failure is not None:
            raise RuntimeError("the load ended by an error of its own") from self._failure

    def also(self, kind: Kind, run_s: float) -> None:
        """Send one job more, of this kind and length, with the next ones."""
        self._asked.put((kind, run_s))

    def storm(self, submitters: int) -> set[str]:
        """Let so many clients submit one job under one idempotency key at once.

        Returns
        -------
        set[str]
            The ids they were answered, of those that were answered.
        """
        if self._loop is None:
            raise RuntimeError("the load has not begun")
        return asyncio.run_coroutine_threadsafe(self._storm(submitters), self._loop).result(STORM_TIMEOUT_S)

    async def _storm(self, submitters: int) -> set[str]:
        first = self._orders.keyed()
        orders = [first, *(self._orders.again(first) for _ in range(submitters - 1))]
        await asyncio.to_thread(self._ledger.intend, orders)
        self.sent += submitters
        async with contextlib.AsyncExitStack() as clients:
            connected = [await clients.enter_async_context(self._client()) for _ in orders]
            answers = await asyncio.gather(
                *(self._submit(client, [order]) for client, order in zip(connected, orders, strict=True))
            )
        return {ref.job_id for refs in answers for ref in refs if ref is not None}

    def _client(self) -> Client:
        return Client(
            kafka=self._kafka, database=self._database, names=self._names, timeout_s=CLIENT_TIMEOUT_S
        )

    def _run(self) -> None:
        try:
            asyncio.run(self._send_all())
        except BaseException as error:
            self._failure = error

    async def _send_all(self) -> None:
        producer: Any = AIOKafkaProducer(
            **self._kafka.client_options(), client_id="chaos-raw", acks="all", enable_idempotence=True
        )
        await producer.start()
        client = self._client()
        self._loop = asyncio.get_running_loop()
        try:
            await self._pace(client, producer)
            until_s = time.monotonic() + STOP_TIMEOUT_S
            while self._tasks and (left_s := until_s - time.monotonic()) > 0:
                await asyncio.wait(self._tasks, timeout=left_s)
        finally:
            for task in self._tasks:
                task.cancel()
            await client.close()
            with contextlib.suppress(Exception):
                await asyncio.wait_for(producer.stop(), 10)

    async def _pace(self, client: Client, producer: Any) -> None:
        owed, last_s = 0.0, time.monotonic()
        while not self._stopping.is_set():
            await asyncio.sleep(TICK_S)
            now_s = time.monotonic()
            owed += (now_s - last_s) * self.rate_per_s
            last_s = now_s
            count, owed = int(owed), owed % 1.0
            orders = [next(self._orders) for _ in range(count)]
            with contextlib.suppress(queue.Empty):
                orders.append(self._orders.extra(*self._asked.get_nowait()))
            await self._send(client, producer, orders)
        await self._send(client, producer, self._orders.rest())

    async def _send(self, client: Client, producer: Any, orders: Sequence[Order]) -> None:
        if orders:
            await asyncio.to_thread(self._ledger.intend, orders)
            self._dispatch(client, producer, orders)

    def _dispatch(self, client: Client, producer: Any, orders: Sequence[Order]) -> None:
        self.sent += len(orders)
        by_client = [order for order in orders if order.way is Way.CLIENT]
        if by_client:
            self._spawn(self._by_client(client, producer, by_client))
        for order in orders:
            if order.way is Way.RAW:
                self._spawn(self._raw(client, producer, order))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failure = self._failure or task.exception()

    async def _by_client(self, client: Client, producer: Any, orders: Sequence[Order]) -> None:
        refs = await self._submit(client, orders)
        self._repeat(
            client, producer, [order for order, ref in zip(orders, refs, strict=True) if ref is None]
        )
        for order, ref in zip(orders, refs, strict=True):
            if ref is not None and order.cancel_after_s is not None:
                self._spawn(self._cancel(client, order, ref, order.cancel_after_s))

    async def _submit(self, client: Client, orders: Sequence[Order]) -> Sequence[SubmittedRef | None]:
        """Submit, and write down what became of it; None is a job of which nothing is known."""
        outcome, reason = SendOutcome.UNKNOWN, ""
        refs: Sequence[SubmittedRef | None] = [None] * len(orders)
        try:
            refs = await client.submit_many([job_of(order) for order in orders])
        except (NotSent, NotConnected, InvalidJob) as error:
            outcome, reason = SendOutcome.FAILED, str(error)
        except Unacknowledged as error:
            refs, reason = error.refs, str(error)
        self._settle([_settled(order, ref, outcome, reason) for order, ref in zip(orders, refs, strict=True)])
        return refs

    async def _raw(self, client: Client, producer: Any, order: Order) -> None:
        self._turn += 1
        headers = [(TRACE_HEADER, order.traceparent.encode())]
        partition = self._turn % self._names.partitions
        topic = f"{self._names.topic_prefix}jobs"
        try:
            told = await producer.send_and_wait(topic, order.value, partition=partition, headers=headers)
        except MessageSizeTooLargeError as error:
            settled = Settled(order.send, SendOutcome.FAILED, reason=repr(error))
        except Exception as error:
            settled = Settled(order.send, SendOutcome.UNKNOWN, reason=repr(error))
        else:
            settled = Settled(order.send, SendOutcome.OK, told.partition, told.offset)
        self._settle([settled])
        if settled.outcome is not SendOutcome.OK:
            self._repeat(client, producer, [order])

    def _settle(self, settled: Sequence[Settled]) -> None:
        self._ledger.settle(settled)
        self.acknowledged += sum(one.outcome is SendOutcome.OK for one in settled)

    def _repeat(self, client: Client, producer: Any, orders: Sequence[Order]) -> None:
        for order in orders:
            if order.is_named:
                self._spawn(self._again(client, producer, order))

    async def _again(self, client: Client, producer: Any, order: Order) -> None:
        """Do what the client's errors advise: send a named job again until it is acknowledged."""
        await asyncio.sleep(AGAIN_AFTER_S)
        if not self._stopping.is_set() or order.is_awaited:
            await self._send(client, producer, [self._orders.again(order)])

    async def _cancel(self, client: Client, order: Order, ref: SubmittedRef, after_s: float) -> None:
        await asyncio.sleep(after_s)
        named: dict[str, str | float] = {"send": order.send, "job_id": ref.job_id}
        self._history.add("invoke", "cancel", **named)
        try:
            await client.cancel(ref, by="chaos", reason="drawn")
        except PenstockError as error:
            self._history.add("unknown", "cancel", error=str(error), **named)
        else:
            self._history.add("ok", "cancel", **named)


def job_of(order: Order) -> Any:
    """Give the job as the client takes it."""
    assert order.kind is not Kind.POISON
    return {**order.members, "traceparent": order.traceparent}


def _settled(order: Order, ref: SubmittedRef | None, outcome: SendOutcome, reason: str) -> Settled:
    if ref is None:
        return Settled(order.send, outcome, reason=reason)
    place = ref.origin
    return Settled(order.send, SendOutcome.OK, place.partition, place.offset, ref.job_id)
