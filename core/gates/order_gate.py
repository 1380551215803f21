"""The *order* gate: jobs of one (tenant, ordering_key) run one at a time, in the order of entering.

A pure fold over one partition of ``jobs.orders``; see ``core.gates.fold`` for the rules it keeps.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Self

import msgspec

from core.frames import Frame
from core.gates.ended import Ended
from core.gates.endings import Endings
from core.gates.fold import Boosts, Effect, Passed, Skips, UnknownGateRecordError, Waits, is_next
from core.gates.gate import Gate
from core.gates.order_image import Entry, Holder, OrderImage, image_of
from core.log import Record
from core.priority import DEFAULT_PRIORITY
from core.urgency import Urgency, Waiters, urgency_of, worth_a_copy
from penstock.identity import Origin

RELEASED_KIND = b"KEY_RELEASED"
WAITS_ON = "order"


class OnBusy(StrEnum):
    """What happens to a job whose key is busy."""

    WAIT = "wait"
    SKIP = "skip"


class KeyReleased(msgspec.Struct, frozen=True, tag="KEY_RELEASED", tag_field="kind"):
    """A person decided that a key goes on although a dead job blocks it."""

    tenant: str
    ordering_key: str
    origin: str
    """Of the dead job: what blocks the key by then for another reason stays."""
    by: str


class _Entering(msgspec.Struct):
    """What the gate needs of an ``AcceptedJob``."""

    origin: str
    job_id: str
    tenant: str
    ordering_key: str
    n: int = 1
    on_busy: OnBusy = OnBusy.WAIT
    priority: int = DEFAULT_PRIORITY
    deadline_ms: int | None = None
    inherited_priority: int | None = None
    inherited_deadline_ms: int | None = None

    @property
    def urgency(self) -> Urgency:
        """Its own, or that of what waits for it at other gates."""
        return urgency_of(
            self.priority, self.deadline_ms, self.inherited_priority, self.inherited_deadline_ms
        )


_decode_entering = msgspec.json.Decoder(_Entering).decode
_decode_ended = msgspec.json.Decoder(Ended).decode
_decode_released = msgspec.json.Decoder(KeyReleased).decode


def key_text(tenant: str, ordering_key: str) -> str:
    """Give the gate's name for a key; neither part can hold a NUL character."""
    return f"{tenant}\0{ordering_key}"


class OrderGate:
    """Fold of one partition of ``jobs.orders``.

    The first job of an idle key passes at once and holds the key until it has ended; then the job that
    entered next passes. A job that ends while it waits leaves the queue. A dead job whose *ended* says so
    blocks its key: until it is redriven and ends otherwise, or until a person releases the key. A redriven
    job enters at the tail of its key, or takes the place it still blocks.

    A job with ``on_busy=skip`` whose key is busy is skipped instead of waiting; not when it is redriven, for
    SKIPPED holds for unclaimed jobs only.

    A job inherits the urgency of those that wait behind it: of all that do when it passes, and of each more
    urgent one that comes later, by another copy (``Boosts``). What was inherited stays when they leave.

    Memory: about 390 bytes for each job that waits or holds a key, 540 with a deadline of its own; and
    ``Endings``.
    """

    def __init__(self, epoch: str) -> None:
        self._epoch = epoch
        self._next_offset = 0
        self._endings = Endings(epoch)
        self._entries: dict[Origin, Entry] = {}
        """Jobs that wait."""
        self._queues: dict[str, deque[Entry]] = {}
        """By key; one that left early stays until it would be next, so whatever is not in ``_entries`` is
        passed over."""
        self._holders: dict[str, Holder] = {}
        self._waiters: dict[str, Waiters] = {}
        """By key, for those that somebody waits for."""
        self._held: dict[Origin, str] = {}
        """The keys that are busy, by the job they are busy with."""

    @property
    def gate(self) -> Gate:
        """Which gate this is."""
        return Gate.ORDER

    @property
    def next_offset(self) -> int:
        """Offset of the first record not taken yet."""
        return self._next_offset

    def holder(self, key: str) -> Holder | None:
        """Give the job a key is busy with."""
        return self._holders.get(key)

    def holders(self) -> Iterator[Holder]:
        """Give what each busy key is busy with."""
        return iter(self._holders.values())

    def waiting(self, key: str) -> list[Entry]:
        """Give the jobs that wait for a key, the next one first."""
        return [entry for entry in self._queues.get(key, ()) if self._entries.get(entry.place) is entry]

    def take(self, record: Record) -> list[Effect]:
        """See ``core.gates.fold.GateFold.take``."""
        if not is_next(record, self._next_offset):
            return []
        effects = self._fold(record)
        self._next_offset = record.offset + 1
        return effects

    def _fold(self, record: Record) -> list[Effect]:
        value = record.value or b""
        match record.header("kind"):
            case b"ENTERED":
                return self._enter(record, _decode_entering(value))
            case b"ENDED":
                return self._end(_decode_ended(value))
            case b"KEY_RELEASED":
                return self._release(_decode_released(value))
            case kind:
                raise UnknownGateRecordError(
                    f"{record.topic}/{record.partition}/{record.offset} is of kind {kind!r}, which this "
                    "version has no rule for: run the newer Penstock that wrote it"
                )

    def _enter(self, record: Record, job: _Entering) -> list[Effect]:
        place, key = self._endings.place(job.origin), key_text(job.tenant, job.ordering_key)
        before = self._present(place)
        if before is not None and job.n <= before.n:
            return []
        if not self._endings.may_enter(place, job.n):
            return []
        holder = self._holders.get(key)
        if holder is not None:
            # One text for all jobs of a key.
            key = holder.entry.key
        entry = Entry(place, key, job.n, record.offset, job.job_id, job.urgency)
        if holder is not None and holder.blocks and holder.entry.place == place:
            return [self._pass(entry)]
        # A redrive that overtook the end of the dispatch before it.
        passed = [] if before is None else self._leave(before)
        if key not in self._holders:
            return [*passed, self._pass(entry)]
        if job.on_busy is OnBusy.SKIP and job.n == 1:
            self._endings.end_unrun(place, job.n)
            return [Skips(record.offset, f"its ordering key is busy (on_busy={OnBusy.SKIP})")]
        self._wait(entry)
        return [*passed, Waits(record.offset, WAITS_ON), *self._boost(entry, record.timestamp_ms)]

    def _end(self, ended: Ended) -> list[Effect]:
        place = self._endings.place(ended.origin)
        entry = self._present(place)
        if entry is not None and ended.n < entry.n:
            return []
        if not self._endings.end(place, ended):
            return []
        key = self._held.get(place)
        if key is not None and ended.blocks:
            self._holders[key] = self._holders[key]._replace(blocks=True)
            return []
        if key is not None:
            return self._advance(key)
        return [] if entry is None else self._leave(entry)

    def _release(self, released: KeyReleased) -> list[Effect]:
        key = key_text(released.tenant, released.ordering_key)
        holder = self._holders.get(key)
        if holder is None or not holder.blocks or str(holder.entry.place) != released.origin:
            return []
        return self._advance(key)

    def _present(self, place: Origin) -> Entry | None:
        """Give the entry of a job that waits, or runs."""
        entry = self._entries.get(place)
        if entry is not None:
            return entry
        holder = self._holders.get(self._held.get(place, ""))
        return None if holder is None or holder.blocks else holder.entry

    def _pass(self, entry: Entry) -> Passed:
        waiters = self._waiters.get(entry.key)
        inherits = None if waiters is None else entry.urgency.gains(waiters.most())
        self._hold(Holder(entry, blocks=False, urgency=inherits or entry.urgency))
        return Passed(entry.offset, inherits=inherits)

    def _boost(self, entry: Entry, now_ms: int) -> list[Effect]:
        """Let the job on once more that a job which begins to wait is more urgent than."""
        holder = self._holders[entry.key]
        raised = worth_a_copy(holder.urgency, entry.urgency, now_ms)
        if holder.blocks or raised is None:
            return []
        self._hold(holder._replace(urgency=raised))
        return [Boosts(holder.entry.offset, raised)]

    def _hold(self, holder: Holder) -> None:
        self._holders[holder.entry.key] = holder
        self._held[holder.entry.place] = holder.entry.key

    def _wait(self, entry: Entry) -> None:
        self._entries[entry.place] = entry
        self._queues.setdefault(entry.key, deque()).append(entry)
        self._waiters.setdefault(entry.key, Waiters()).add(entry.urgency)

    def _wait_no_more(self, entry: Entry) -> None:
        del self._entries[entry.place]
        waiters = self._waiters[entry.key]
        waiters.remove(entry.urgency)
        if waiters.most() is None:
            del self._waiters[entry.key]

    def _leave(self, entry: Entry) -> list[Effect]:
        if entry.place not in self._entries:
            return self._advance(entry.key)
        self._wait_no_more(entry)
        return []

    def _advance(self, key: str) -> list[Effect]:
        """Let the next one pass that still waits."""
        del self._held[self._holders.pop(key).entry.place]
        queue = self._queues.get(key)
        while queue:
            entry = queue.popleft()
            if self._entries.get(entry.place) is entry:
                self._wait_no_more(entry)
                return [self._pass(entry)]
        self._queues.pop(key, None)
        return []

    def image(self) -> OrderImage:
        """Give the state as it is now: bitmaps and two dictionaries are copied."""
        return OrderImage(self._next_offset, self._endings.copy(), dict(self._holders), dict(self._entries))

    @classmethod
    def restored(cls, epoch: str, frames: Iterable[Frame]) -> Self:
        """See ``core.gates.fold.GateFold.restored``."""
        image, gate = image_of(epoch, frames), cls(epoch)
        gate._next_offset = image.next_offset
        gate._endings = image.endings
        for holder in image.holders.values():
            gate._hold(holder)
        for entry in image.waiting.values():
            gate._wait(entry)
        return gate
