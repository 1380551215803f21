"""Snapshots: the state of a ledger partition as bytes in bounded chunks, and back, exactly.

Of each frame (``core.frames``) the head is JSON that says what it is, the body the portable Roaring64 form of
a bitmap, or nothing.
"""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import assert_never

import msgspec

from core import frames as framing
from core.frames import BrokenFramesError, Frame
from core.ledger.finished import FinishedJobs
from core.ledger.fold import FOLD_VERSION, LedgerFold
from core.ledger.image import CancelMark, LedgerImage
from core.ledger.open_job import OpenJob

LAYOUT = 1
"""Of the bytes; a reader ignores snapshots of another layout and folds from further back."""
SLICE = 500
"""Open jobs or cancels encoded in one go, which no other thread can interrupt: under a millisecond."""


class BrokenSnapshotError(Exception):
    """The bytes are no snapshot of this layout; whoever reads falls back on an older one or the log."""


class _Start(msgspec.Struct, frozen=True, tag="start", tag_field="frame"):
    layout: int
    epoch: str
    next_offset: int
    version: int


class _Bitmap(msgspec.Struct, frozen=True, tag="bitmap", tag_field="frame"):
    n: int
    partition: int


class _Cancels(msgspec.Struct, frozen=True, tag="cancels", tag_field="frame"):
    marks: list[tuple[str, int, int]]


class _Open(msgspec.Struct, frozen=True, tag="open", tag_field="frame"):
    jobs: list[tuple[str, bool, OpenJob]]
    """Origin, whether a cancel by job id finds it, the job."""


class _End(msgspec.Struct, frozen=True, tag="end", tag_field="frame"):
    pass


_Frame = _Start | _Bitmap | _Cancels | _Open | _End
_encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[_Frame] = msgspec.json.Decoder(_Frame)


def is_readable(layout: int, version: int) -> bool:
    """Whether this code can go on from a snapshot of that layout and fold version."""
    return layout == LAYOUT and version <= FOLD_VERSION


def chunks_of(image: LedgerImage) -> Iterator[bytes]:
    """Give the snapshot in chunks of at most ``CHUNK_MAX_BYTES``; at least one.

    Works in small steps, so that it can run in a thread beside an event loop.
    """
    return framing.chunks_of(frames_of(image))


def digest_of(chunk_digests: Iterable[bytes]) -> str:
    """Give the SHA-256 (hex) of a snapshot from those of its chunks, in order."""
    whole = hashlib.sha256()
    for digest in chunk_digests:
        whole.update(digest)
    return whole.hexdigest()


def chunk_digest(chunk: bytes) -> bytes:
    """Give the SHA-256 of one chunk."""
    return hashlib.sha256(chunk).digest()


def fold_from(chunks: Iterable[bytes]) -> LedgerFold:
    """Give the fold a snapshot was made of; it goes on at ``next_offset``.

    Works in small steps, so that it can run in a thread beside an event loop.

    Raises
    ------
    BrokenSnapshotError
        Bytes are missing, damaged or of another layout.
    """
    try:
        return fold_of(framing.frames_in(chunks))
    except (BrokenFramesError, msgspec.MsgspecError, ValueError) as error:
        raise BrokenSnapshotError(f"not a ledger snapshot of layout {LAYOUT}: {error}") from error


def frames_of(image: LedgerImage) -> Iterator[Frame]:
    """Give the image in small frames, a start and an end among them."""
    return ((_encode(head), body) for head, body in _frames(image))


def fold_of(frames: Iterable[Frame]) -> LedgerFold:
    """Give the fold these frames were made of.

    Raises
    ------
    BrokenSnapshotError, BrokenFramesError, msgspec.MsgspecError, ValueError
        They are not whole, or of another layout.
    """
    return LedgerFold.from_image(_image((_decoder.decode(head), body) for head, body in frames))


def _frames(image: LedgerImage) -> Iterator[tuple[_Frame, bytes]]:
    yield _Start(LAYOUT, image.epoch, image.next_offset, image.version), b""
    for n, partition, data in image.finished.bitmaps():
        yield _Bitmap(n, partition), data
    marks = iter(image.cancels.items())
    while some := [(job_id, *mark) for job_id, mark in islice(marks, SLICE)]:
        yield _Cancels(some), b""
    jobs = iter(image.open.items())
    while batch := list(islice(jobs, SLICE)):
        yield (
            _Open(
                [(origin, image.by_job_id.get(job.job_id) == origin, job) for origin, job in batch],
            ),
            b"",
        )
    yield _End(), b""


def _image(frames: Iterator[tuple[_Frame, bytes]]) -> LedgerImage:
    start, _ = next(frames, (None, b""))
    if not isinstance(start, _Start) or not is_readable(start.layout, start.version):
        raise BrokenSnapshotError(f"it begins with {start}")
    image = LedgerImage(start.epoch, start.next_offset, start.version, FinishedJobs(), {}, {}, {})
    ended = False
    for frame, body in frames:
        match frame:
            case _Start():
                raise BrokenSnapshotError("it begins twice")
            case _Bitmap():
                image.finished.put(frame.n, frame.partition, body)
            case _Cancels():
                image.cancels.update((job_id, CancelMark(*mark)) for job_id, *mark in frame.marks)
            case _Open():
                _put_open(image, frame)
            case _End():
                ended = True
            case _:
                assert_never(frame)
    if not ended:
        raise BrokenSnapshotError("it has no end")
    return image


def _put_open(image: LedgerImage, frame: _Open) -> None:
    for origin, named, job in frame.jobs:
        image.open[origin] = job
        if named:
            image.by_job_id[job.job_id] = origin
