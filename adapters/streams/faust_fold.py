"""A fold of one topic on Faust: its states in a table with a changelog, its partitions shared by a group.

Nothing else of Penstock knows Faust. What is bent, and why:

- Topics are made beforehand, with our names and retention; Faust may declare none, and has no leader topic,
  no reply topic, no web server, no standby.
- A key is at home on the partition its own hash says, not on that of whatever record is being worked on.
- Nothing is acknowledged before the changelog has taken what the record changed: Faust's commit flushes the
  producer, but passes over what it could not send. Where to go on is said by the table, not by the commit.
- Records are folded in their turn, and asked for again where Faust lost some: while it restores its table it
  lets records come, and then empties its queues.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import faust
from typing_extensions import override
from yarl import URL

from core.log import Record
from penstock.connection import KafkaConnection
from ports.failpoints import Failpoint, reached

logger = logging.getLogger(__name__)

TURN_S = 0.5
"""How soon a stop, or a crash of Faust, is noticed."""
COMMIT_INTERVAL_S = 1.0
BUFFERED_RECORDS = 500
"""Read ahead of the fold: half a megabyte of records as they usually are."""
REQUEST_TIMEOUT_S = 40.0
STOP_S = 6.0
"""Faust is given so long to leave its group."""
HEARTBEATS_A_SESSION = 10.0
RESTORE_LOOK_S = 0.02
STILL_TURNS = 4
"""A partition that stands still for so many turns, with records to come, has lost some on their way."""
PIPELINED = 50
"""Records folded ahead of what the changelog has acknowledged."""


class Fold(Protocol):
    """What is folded."""

    def restore(self, partitions: Mapping[int, int], table: Mapping[bytes, bytes]) -> None:
        """Begin with these partitions alone, where the table says; else at the offset given."""
        ...

    def next_offset(self, partition: int) -> int | None:
        """Give the offset of the record that is to be folded next; None: the partition is not owned."""
        ...

    def skip_to(self, partition: int, offset: int) -> None:
        """Go on at a later record: those before it are not there any more."""
        ...

    def take(self, record: Record) -> "Changes":
        """Fold the next record of its partition; give what it changes in the table."""
        ...


class Changes(Protocol):
    """What changes in the table, in this order."""

    @property
    def puts(self) -> list[tuple[bytes, bytes]]:
        """Keys and their new values."""
        ...

    @property
    def removed(self) -> list[bytes]:
        """Keys that go."""
        ...


class FoldFailedError(Exception):
    """Faust, or the fold, cannot go on; the process ends, and the next restores itself."""


class _Unacknowledged(NamedTuple):
    message: Any
    kept: "list[asyncio.Future[Any]]"
    """Of the changelog, for what the record changed."""


class _Table(faust.Table):
    """A table that knows where keys are at home, and whether its changelog has taken what was set."""

    def __init__(self, *args: Any, home: Callable[[bytes], int], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._home = home
        self.kept: list[asyncio.Future[Any]] = []

    @override
    def partition_for_key(self, key: Any) -> int:
        return self._home(key)

    @override
    def send_changelog(self, *args: Any, **kwargs: Any) -> Any:
        sent = super().send_changelog(*args, **kwargs)
        self.kept.append(sent)
        return sent


class FaustFold:
    """Runs a fold.

    Parameters
    ----------
    group
        Consumer group, also Faust's name for the app.
    instance
        Name of this process in the group; a restart under the same name moves no partition.
    partitions
        Of the source and of the changelog.
    home
        Gives the partition of a key of the table.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        fold: Fold,
        *,
        group: str,
        instance: str,
        source: str,
        changelog: str,
        partitions: int,
        home: Callable[[bytes], int],
        session_timeout_s: float,
    ) -> None:
        self._fold = fold
        self._source = source
        self._restored = 0
        self._waiting: dict[int, deque[_Unacknowledged]] = {}
        self._still: dict[int, tuple[int, int]] = {}
        """By partition, the record that is next, and for how many turns it has been."""
        self._failure: BaseException | None = None
        self._app = app = _app(connection, group, instance, session_timeout_s)
        raw: dict[str, Any] = {
            "key_type": bytes,
            "value_type": bytes,
            "key_serializer": "raw",
            "value_serializer": "raw",
        }
        self._table = _Table(
            app,
            name="states",
            key_type=bytes,
            value_type=bytes,
            partitions=partitions,
            changelog_topic=app.topic(changelog, compacting=True, **raw),
            home=home,
        )
        app.tables.add(self._table)
        app.agent(app.topic(source, **raw), concurrency=1, name=f"{group}.fold")(self._consume)

    @property
    def is_settled(self) -> bool:
        """Whether it is in its group, and has restored what it owns."""
        return self._app.rebalancing_count > 0 and not self._app.rebalancing

    def lag(self) -> int:
        """Give how many records of its partitions were not folded yet."""
        if not self.is_settled:
            return 0
        behind = 0
        for place in self._app.consumer.assignment():
            next_offset = self._fold.next_offset(place.partition)
            if place.topic == self._source and next_offset is not None:
                behind += max(0, (self._app.consumer.highwater(place) or 0) - next_offset)
        return behind

    async def run(self, stopping: asyncio.Event, turn: Callable[[], None]) -> None:
        """Fold until ``stopping``; ``turn`` is called every time round.

        Raises
        ------
        FoldFailedError
            Something failed that Faust does not mend by itself.
        """
        self._app.finalize()
        starting = asyncio.ensure_future(self._app.start())
        try:
            while not stopping.is_set():
                failure = self._failure or (self._app.crash_reason if self._app.crashed else None)
                if starting.done() and not starting.cancelled():
                    failure = failure or starting.exception()
                if failure is not None:
                    raise FoldFailedError(f"the stream stopped: {failure!r}") from failure
                turn()
                if self.is_settled:
                    if self._app.rebalancing_count != self._restored:
                        await self._restore()
                    await self._fetch_missing()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), TURN_S)
        finally:
            starting.cancel()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await self._app.stop()

    async def _consume(self, stream: Any) -> None:
        """Fold what comes; what fails stays unacknowledged, while the process ends."""
        try:
            async for event in stream.noack().events():
                await self._take(event.message)
        except Exception as error:
            logger.exception("cannot fold")
            self._failure = error
            await asyncio.Event().wait()

    async def _take(self, message: Any) -> None:
        """Fold a record if it is the next of its partition, as it nearly always is."""
        app = self._app
        while app.rebalancing or app.rebalancing_count != self._restored:  # noqa: ASYNC110 - no event says so
            await asyncio.sleep(RESTORE_LOOK_S)
        next_offset = self._fold.next_offset(message.partition)
        if next_offset is not None and message.offset <= next_offset:
            await self._fold_in(message)

    async def _fetch_missing(self) -> None:
        """Go back to the next record of partitions that stand still although there is more.

        Faust lets records come when it has restored its table, and only then empties its queues; and a
        position that is set while later records are under way is passed over again.
        """
        consumer = self._app.consumer
        for place in consumer.assignment():
            next_offset = self._fold.next_offset(place.partition)
            if place.topic != self._source or next_offset is None:
                continue
            stood_at, turns = self._still.get(place.partition, (-1, 0))
            turns = turns + 1 if stood_at == next_offset else 0
            self._still[place.partition] = (next_offset, turns)
            if turns < STILL_TURNS or (consumer.highwater(place) or 0) <= next_offset:
                continue
            oldest = (await consumer.earliest_offsets(place))[place]
            if oldest > next_offset:
                logger.warning("records %d to %d of %s are gone", next_offset, oldest, place)
                self._fold.skip_to(place.partition, oldest)
            self._still[place.partition] = (-1, 0)
            await consumer.seek(place, max(oldest, next_offset))

    async def _fold_in(self, message: Any) -> None:
        partition, offset = message.partition, message.offset
        if offset == self._fold.next_offset(partition):
            self._change(self._fold.take(_record(message)))
        waiting = self._waiting.setdefault(partition, deque())
        kept, self._table.kept = self._table.kept, []
        # Nobody needs the bytes any more.
        message.value = None
        waiting.append(_Unacknowledged(message, kept))
        while len(waiting) > PIPELINED or (waiting and all(one.done() for one in waiting[0].kept)):
            await self._acknowledge(waiting.popleft())

    def _change(self, changes: Changes) -> None:
        for key, value in changes.puts:
            self._table[key] = value
        for key in changes.removed:
            self._table.pop(key, None)

    async def _acknowledge(self, done: _Unacknowledged) -> None:
        for kept in done.kept:
            await kept
        reached(Failpoint.STATES_KEPT, when=done.kept)
        done.message.ack(self._app.consumer)

    async def _restore(self) -> None:
        consumer, count = self._app.consumer, self._app.rebalancing_count
        places = [place for place in consumer.assignment() if place.topic == self._source]
        oldest = await consumer.earliest_offsets(*places) if places else {}
        self._waiting, self._still, self._table.kept = {}, {}, []
        self._fold.restore({place.partition: oldest[place] for place in places}, self._table)
        self._restored = count


def _record(message: Any) -> Record:
    return Record(
        message.topic,
        message.partition,
        message.offset,
        round(message.timestamp * 1000),
        message.key,
        message.value,
        (),
    )


for _chatty in ("faust", "mode"):
    logging.getLogger(_chatty).setLevel(logging.WARNING)


class _App(faust.App):
    """Faust without directories of its own: states are in memory and in the changelog."""

    @override
    def _create_directories(self) -> None:
        pass


def _app(connection: KafkaConnection, group: str, instance: str, session_timeout_s: float) -> faust.App:
    return _App(
        group,
        broker=[URL(f"kafka://{address.strip()}") for address in connection.bootstrap.split(",")],
        broker_credentials=_credentials(connection),
        broker_client_id=instance,
        broker_commit_interval=COMMIT_INTERVAL_S,
        broker_commit_livelock_soft_timeout=86_400.0,
        broker_session_timeout=session_timeout_s,
        broker_heartbeat_interval=session_timeout_s / HEARTBEATS_A_SESSION,
        broker_rebalance_timeout=session_timeout_s,
        broker_request_timeout=REQUEST_TIMEOUT_S,
        consumer_group_instance_id=instance,
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=BUFFERED_RECORDS,
        stream_recovery_delay=0.0,
        # Neither a rebalance nor the end waits for acknowledgements: what has none is folded again.
        stream_wait_empty=False,
        store="memory://",
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        reply_create_topic=False,
        web_enabled=False,
        autodiscover=False,
    )


def _credentials(connection: KafkaConnection) -> Any:
    options = connection.client_options()
    if connection.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            mechanism=options["sasl_mechanism"],
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            ssl_context=options.get("ssl_context"),
        )
    if connection.security_protocol == "SSL":
        return faust.SSLCredentials(context=options["ssl_context"])
    return None
