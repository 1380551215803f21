"""The state of an order gate apart from the gate, in frames and back."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, assert_never

import msgspec

from core.frames import Frame
from core.gates.endings import Endings
from core.urgency import Urgency
from penstock.identity import Origin

LAYOUT = 1
SLICE = 500
"""Jobs encoded in one go, which no other thread can interrupt: under a millisecond."""


class Entry(NamedTuple):
    """A job in the gate: it waits, or it holds its key."""

    place: Origin
    key: str
    """Tenant and ordering key, with a NUL character between."""
    n: int
    offset: int
    """Of its *entered*."""
    job_id: str
    urgency: Urgency
    """As it entered."""


class Holder(NamedTuple):
    """The job a key is busy with."""

    entry: Entry
    blocks: bool
    """It is dead, and the key waits for a redrive of it that ends well, or for a person."""
    urgency: Urgency
    """What it was let on with, last."""


_Flat = tuple[int, int, str, int, int, str, tuple[int, int | None]]


class _Start(msgspec.Struct, frozen=True, tag="start", tag_field="frame"):
    layout: int
    next_offset: int


class _Holders(msgspec.Struct, frozen=True, tag="holders", tag_field="frame"):
    holders: list[tuple[_Flat, bool, tuple[int, int | None]]]


class _Waiting(msgspec.Struct, frozen=True, tag="waiting", tag_field="frame"):
    entries: list[_Flat]


class _End(msgspec.Struct, frozen=True, tag="end", tag_field="frame"):
    pass


class _Bitmap(msgspec.Struct, frozen=True, tag="bitmap", tag_field="frame"):
    pass


_Frame = _Start | _Holders | _Waiting | _Bitmap | _End
_encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[_Frame] = msgspec.json.Decoder(_Frame)


@dataclass(frozen=True)
class OrderImage:
    """The state of an order gate at one offset."""

    next_offset: int
    endings: Endings
    holders: dict[str, Holder]
    waiting: dict[Origin, Entry]

    def keep_from(self) -> int:
        """Give the offset of the oldest job that waits; ``next_offset`` when none does."""
        return min((entry.offset for entry in self.waiting.values()), default=self.next_offset)

    def frames(self) -> Iterator[Frame]:
        """Give the state in small frames."""
        yield _encode(_Start(LAYOUT, self.next_offset)), b""
        yield from self.endings.frames()
        holders = iter(self.holders.values())
        while some := list(islice(holders, SLICE)):
            yield _encode(_Holders([(_flat(one.entry), one.blocks, one.urgency) for one in some])), b""
        # In the order of entering, which is that of the queues.
        waiting = iter(sorted(self.waiting.values(), key=lambda entry: entry.offset))
        while batch := list(islice(waiting, SLICE)):
            yield _encode(_Waiting([_flat(entry) for entry in batch])), b""
        yield _encode(_End()), b""


def _flat(entry: Entry) -> _Flat:
    place = entry.place
    return (place.partition, place.offset, *entry[1:])


def _entry(epoch: str, flat: _Flat) -> Entry:
    *_, job_id, urgency = flat
    return Entry(Origin(epoch, *flat[:2]), *flat[2:5], job_id, Urgency(*urgency))


def image_of(epoch: str, frames: Iterable[Frame]) -> OrderImage:
    """Give the state these frames were made of.

    Raises
    ------
    msgspec.MsgspecError, ValueError
        They are not whole, or of another layout.
    """
    endings, next_offset, ended = Endings(epoch), 0, False
    holders: dict[str, Holder] = {}
    waiting: dict[Origin, Entry] = {}
    for frame in frames:
        head = _decoder.decode(frame[0])
        match head:
            case _Start():
                if head.layout != LAYOUT:
                    raise ValueError(f"an order gate of layout {head.layout}; this version reads {LAYOUT}")
                next_offset = head.next_offset
            case _Bitmap():
                endings.put(frame)
            case _Holders():
                held = [
                    Holder(_entry(epoch, flat), blocks, Urgency(*urgency))
                    for flat, blocks, urgency in head.holders
                ]
                holders |= {holder.entry.key: holder for holder in held}
            case _Waiting():
                entries = [_entry(epoch, flat) for flat in head.entries]
                waiting |= {entry.place: entry for entry in entries}
            case _End():
                ended = True
            case _:
                assert_never(head)
    if not ended:
        raise ValueError("an order gate without an end")
    return OrderImage(next_offset, endings, holders, waiting)
