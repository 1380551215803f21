"""A member of a consumer group that shares out partition numbers, with stamped commits."""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, OffsetAndMetadata
from aiokafka import TopicPartition as AioTopicPartition
from aiokafka.client import ConnectionGroup
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
)
from aiokafka.errors import OffsetOutOfRangeError as AioOutOfRangeError

from adapters.kafka.assignor import assignor_for
from adapters.kafka.clock import BrokerClock
from adapters.kafka.fetch_apart import FETCH_LOOK_MS, FETCH_MAX_WAIT_MS, Fetches
from adapters.kafka.leave import LeaveByName
from adapters.kafka.patience import answered
from adapters.kafka.reader import (
    PARTITION_FETCH_MAX_BYTES,
    REQUEST_TIMEOUT_MS,
    START_TIMEOUT_S,
    STOP_TIMEOUT_S,
    out_of_range_text,
    record_of,
)
from adapters.kafka.salvage import read_around
from core.log import Record, TopicPartition
from core.offsets import next_positions
from penstock.connection import KafkaConnection
from ports.log import Assignment, Batch, OffsetOutOfRangeError, next_assignment

SESSION_TIMEOUT_S = 30.0
"""A member silent this long loses its partitions; above the 8 s a broker restart takes."""
HEARTBEATS_PER_SESSION = 10
HEARTBEAT_INTERVAL_MAX_S = 1.0
"""How soon a member hears that somebody joins or leaves; until all have heard, what moves rests. A
heartbeat is one small request; 3 s, the usual value, let a join take three times as long."""
REBALANCE_SHARE = 1 / 3
"""Of the session: how long a rebalance waits for a member that does not answer. It need not be dead to hold
up all others, and keeps its share until its session ends."""
JOIN_GRACE_MS = 5_000
"""A request to join is answered when the rebalance ends; it may take so much longer."""
MAX_POLL_INTERVAL_MS = 300_000
LEAVE_TIMEOUT_S = 3.0
LEAVE_AGAIN_S = 0.1
"""How long a member that leaves waits for its coordination to end before it leaves once more."""
COMMIT_TIMEOUT_S = 5.0
"""A commit not answered by then goes on alone, and its positions count as not committed yet."""
POLL_GRACE_S = 1.0
"""aiokafka waits without limit for an assignment that begins to be made; a poll may overrun by this."""


def rebalance_timeout_ms(session_timeout_s: float) -> int:
    """Say how long a rebalance waits for a member that does not answer."""
    return int(session_timeout_s * REBALANCE_SHARE * 1000)


def request_timeout_ms(session_timeout_s: float) -> int:
    """Say when a broker that does not answer is given up; always later than a rebalance may take."""
    return max(REQUEST_TIMEOUT_MS, rebalance_timeout_ms(session_timeout_s) + JOIN_GRACE_MS)


StartAt = Callable[[TopicPartition, int], int]
"""Given a partition and its committed offset (or the log's start): where to read from."""
Restore = Callable[[Mapping[TopicPartition, int]], Awaitable[None]]
"""Given all partitions owned from now on and their committed offsets: awaited before ``StartAt`` is asked
and before anything of them is given out. Much shorter than the session timeout, or the member is out."""


class _Listener(ConsumerRebalanceListener):
    def __init__(self, member: "KafkaGroupMember") -> None:
        self._member = member

    async def on_partitions_revoked(self, _revoked: object) -> None:
        """Tell the member that a rebalance has begun."""
        self._member.on_rebalance()

    async def on_partitions_assigned(self, assigned: set[AioTopicPartition]) -> None:
        """Tell the member what it owns now; aiokafka would log an error here and go on without it."""
        try:
            await self._member.on_assigned({TopicPartition(tp.topic, tp.partition) for tp in assigned})
        except Exception as error:
            self._member.fail(error)


class KafkaGroupMember:
    """A ``GroupMember`` on aiokafka (static membership, KIP-345; own assignor).

    While a rebalance waits for others the member works on under its old assignment, without commits.
    Whoever owns a partition is no matter of correctness here, so there is no reason to rest.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        clock: BrokerClock,
        *,
        group: str,
        instance: str,
        topics: Sequence[str],
        start_at: StartAt | None = None,
        restore: Restore | None = None,
        session_timeout_s: float = SESSION_TIMEOUT_S,
        gather_s: float = 0.0,
    ) -> None:
        self._instance = instance
        self._topics = tuple(topics)
        self._clock = clock
        self._start_at = start_at
        self._restore = restore
        self._assignment = Assignment(0, frozenset())
        self._owned: set[TopicPartition] = set()
        self._paused: set[TopicPartition] = set()
        self._rebalancing = True
        self._closed = False
        self._committed: dict[TopicPartition, int] = {}
        self._delivered: dict[TopicPartition, int] = {}
        self._failure: Exception | None = None
        self._committing: asyncio.Task[bool] | None = None
        self._consumer: Any = AIOKafkaConsumer(
            **connection.client_options(),
            client_id=instance,
            group_id=group,
            group_instance_id=instance,
            enable_auto_commit=False,
            auto_offset_reset="none",
            # A producer's aborted transaction is no job; our own topics hold no transactions.
            isolation_level="read_committed",
            partition_assignment_strategy=(assignor_for(instance, self.on_switched),),
            session_timeout_ms=int(session_timeout_s * 1000),
            heartbeat_interval_ms=int(
                1000 * min(session_timeout_s / HEARTBEATS_PER_SESSION, HEARTBEAT_INTERVAL_MAX_S)
            ),
            rebalance_timeout_ms=rebalance_timeout_ms(session_timeout_s),
            request_timeout_ms=request_timeout_ms(session_timeout_s),
            max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
            fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
            consumer_timeout_ms=FETCH_LOOK_MS,
            max_partition_fetch_bytes=PARTITION_FETCH_MAX_BYTES,
        )
        self._fetches = Fetches(self._consumer)
        self._fetches.gather(gather_s)

    async def start(self) -> None:
        """Connect and begin to join; returns before the first assignment.

        Raises
        ------
        aiokafka.errors.KafkaError, TimeoutError
            No broker answers; the caller starts over.
        """
        async with asyncio.timeout(START_TIMEOUT_S):
            await self._consumer.start()
        # In this order: a consumer that starts with a subscription waits for all other members.
        self._consumer.subscribe(list(self._topics), listener=_Listener(self))
        self._never_rest()

    @property
    def assignment(self) -> Assignment:
        """See ``ports.log.GroupMember.assignment``."""
        return self._assignment

    def on_rebalance(self) -> None:
        """Go on giving out records until the new assignment is known, but commit nothing more.

        aiokafka 0.14 sends commits after the pending join on one connection, too late to count, sends
        them again under whatever generation it is in by then, and an error of theirs makes the member join
        once more. The join takes a third of the session when any member does not answer.
        """
        self._rebalancing = True
        if self._committing is not None:
            self._committing.cancel()
        self._never_rest()

    def _never_rest(self) -> None:
        """Let ``poll`` return in time while no new assignment is known: aiokafka would wait for one."""
        self._consumer._subscription.subscription._reassignment_in_progress = False  # noqa: SLF001

    def on_switched(self) -> None:
        """Give out nothing more until positions are set: what is fetched now starts anywhere."""
        self._owned = set()

    def fail(self, error: Exception) -> None:
        """Let the next ``poll`` raise: without positions this member would idle for ever."""
        self._failure = error

    async def on_assigned(self, assigned: set[TopicPartition]) -> None:
        """Start a partition at its committed offset, at the log's start, or where ``start_at`` says.

        Without ``start_at`` one that was owned before goes on where it was, paused if it was.
        What this process committed itself counts, although a broker that was killed may answer less: it can
        forget commits (docs/chaos.md), and what is below them may have been trimmed since.

        aiokafka fetches from the committed offsets meanwhile, and a ``poll`` under way drops what
        that brings. So no position is set before all are known, and then all at once: a partition
        sought early would be drained, dropped, and go on behind what was dropped.
        """
        wanted = [AioTopicPartition(*tp) for tp in assigned]
        starts = await self._starts(wanted) if wanted else {}
        # Asked all at once, they travel together.
        offsets = await asyncio.gather(*(self._consumer.committed(tp) for tp in wanted))
        committed = {
            TopicPartition(*tp): max(
                starts[tp] if offset is None else offset, self._committed.get(TopicPartition(*tp), 0)
            )
            for tp, offset in zip(wanted, offsets, strict=True)
        }
        self._committed |= committed
        if self._restore is not None:
            await self._restore(committed)
        numbers = frozenset(tp.partition for tp in assigned)
        kept = numbers & self._assignment.partitions if self._start_at is None else frozenset[int]()
        self._delivered = {
            tp: max(offset, self._delivered[tp])
            if tp.partition in kept
            else self._first_position(tp, offset, starts[AioTopicPartition(*tp)])
            for tp, offset in committed.items()
        }
        self._seek_to_delivered()
        self._owned = assigned
        self._paused = {tp for tp in self._paused if tp.partition in kept}
        self._consumer.pause(*(AioTopicPartition(*tp) for tp in self._paused))
        self._rebalancing = False
        self._assignment = next_assignment(self._assignment, numbers, kept)

    async def _starts(self, wanted: list[AioTopicPartition]) -> dict[AioTopicPartition, int]:
        """Ask for the starts of the log for as long as it takes: without them nothing can be read."""
        starts: dict[AioTopicPartition, int] = await answered(
            lambda: self._consumer.beginning_offsets(wanted), f"starts of {wanted}", patience_s=math.inf
        )
        return starts

    def _first_position(self, partition: TopicPartition, committed: int, start: int) -> int:
        if self._start_at is None:
            return committed
        return max(start, self._start_at(partition, committed))

    async def poll(self, timeout_s: float, max_records: int = 2000) -> Batch:
        """See ``ports.log.GroupMember.poll``."""
        if self._failure is not None:
            raise self._failure
        before = self._assignment.number
        try:
            async with asyncio.timeout(timeout_s + POLL_GRACE_S):
                fetched = await self._consumer.getmany(
                    timeout_ms=int(timeout_s * 1000), max_records=max_records
                )
            records = [record_of(raw) for batch in fetched.values() for raw in batch]
        except TimeoutError:
            # Nothing is lost: aiokafka hands out what it has drained without a further wait.
            records = []
        except NoOffsetForPartitionError:
            # aiokafka looked for a committed offset before ``on_assigned`` had set the position.
            records = []
        except AioOutOfRangeError as error:
            raise OffsetOutOfRangeError(out_of_range_text(error)) from error
        except UnicodeDecodeError:
            records = await read_around(self._consumer, dict(self._delivered))
        if self._assignment.number != before:
            # Drained before the rebalance, given out after it: neither end nor start is certain.
            self._seek_to_delivered()
            records = []
        return self._deliver(records)

    def _seek_to_delivered(self) -> None:
        for partition, position in self._delivered.items():
            self._consumer.seek(AioTopicPartition(*partition), position)
        self._fetches.look_again(self._delivered)

    def _deliver(self, records: list[Record]) -> Batch:
        """Note how far each partition was given out, and learn the broker's time."""
        mine = [record for record in records if record[:2] in self._owned]
        self._delivered |= next_positions(mine)
        if mine:
            self._clock.observe(max(record.timestamp_ms for record in mine))
        return Batch(self._assignment.number, mine)

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """See ``ports.log.GroupMember.pause``."""
        # Also while positions are being looked up: what is kept is paused again when they are known.
        self._paused |= {tp for tp in partitions if tp in self._delivered}
        self._consumer.pause(*(AioTopicPartition(*tp) for tp in self._owned.intersection(partitions)))

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """See ``ports.log.GroupMember.resume``."""
        self._paused -= set(partitions)
        owned = [AioTopicPartition(*tp) for tp in self._owned.intersection(partitions)]
        self._consumer.resume(*owned)
        self._fetches.look_again(owned)

    def committed(self, partition: TopicPartition) -> int:
        """See ``ports.log.GroupMember.committed``."""
        return self._committed[partition]

    async def commit(self, assignment: int, positions: Mapping[TopicPartition, int]) -> bool:
        """See ``ports.log.GroupMember.commit``."""
        if assignment != self._assignment.number or self._rebalancing:
            return False
        forward = {
            tp: offset
            for tp, offset in positions.items()
            if tp in self._owned and offset > self._committed.get(tp, -1)
        }
        if not forward:
            return True
        # One at a time: two could reach the broker in any order, and the older one would count.
        under_way = self._committing
        task = self._committing = under_way or asyncio.create_task(self._commit(forward))
        await asyncio.wait({task}, timeout=COMMIT_TIMEOUT_S)
        if not task.done():
            return False
        self._committing = None
        return not task.cancelled() and task.result() and under_way is None

    async def _commit(self, forward: dict[TopicPartition, int]) -> bool:
        """Commit once the broker is there; aiokafka tries again without end while it is away."""
        offsets = {AioTopicPartition(*tp): OffsetAndMetadata(n, "") for tp, n in forward.items()}
        try:
            await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError):
            return False
        except KafkaError as error:
            # The broker is away; the next commit carries these positions too.
            if not error.retriable:
                raise
            return False
        self._committed.update(forward)
        return True

    def lag(self) -> dict[str, int]:
        """Count records of owned partitions not given out yet, by topic, as of the last fetches."""
        lags = dict.fromkeys(self._topics, 0)
        for partition in self._owned:
            end = self._consumer.highwater(AioTopicPartition(*partition))
            lags[partition.topic] += max(0, (end or 0) - self._delivered.get(partition, 0))
        return lags

    async def close(self) -> None:
        """Leave the group and disconnect; again is allowed."""
        if self._closed:
            return
        self._closed = True
        if self._committing is not None:
            self._committing.cancel()
        # With the broker away neither can be done; the session time-out will free the partitions.
        with contextlib.suppress(TimeoutError, KafkaError):
            await asyncio.wait_for(self._leave(), LEAVE_TIMEOUT_S)
        with contextlib.suppress(TimeoutError, KafkaError):
            await asyncio.wait_for(self._consumer.stop(), STOP_TIMEOUT_S)

    async def _leave(self) -> None:
        """Give the partitions to others at once.

        A clean stop is meant: the static name only spares a rebalance after a crash. aiokafka 0.14
        never lets a static member leave, so its coordinator is asked directly. Not on the connection of
        the group: a join that waits there for other members would make this wait too, then be forgotten.

        It leaves before its coordination has ended, which ends a join that waits, and again afterwards: one
        that was on its way, or not yet sent, may have come through in between.
        """
        coordinator = self._consumer._coordinator  # noqa: SLF001
        if coordinator is None:
            return
        member_id = ""
        ending = asyncio.create_task(coordinator.close())
        try:
            while True:
                has_ended = ending.done()
                # Forgotten when the coordination ends.
                member_id = coordinator.member_id or member_id
                await self._leave_as(coordinator, member_id)
                if has_ended:
                    await ending
                    return
                await asyncio.wait([ending], timeout=LEAVE_AGAIN_S)
        finally:
            ending.cancel()

    async def _leave_as(self, coordinator: Any, member_id: str) -> None:
        """Leave, where the group's coordinator is known; not being in the group is as good."""
        if coordinator.coordinator_id is not None:
            await self._consumer._client.send(  # noqa: SLF001
                coordinator.coordinator_id,
                LeaveByName(coordinator.group_id, member_id, self._instance),
                group=ConnectionGroup.DEFAULT,
            )
