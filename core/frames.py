"""Frames: a state as bytes in bounded chunks, and back, in small steps.

The bytes are one zlib stream of frames, cut into chunks. A frame is two lengths (unsigned 32-bit, big
endian), a head that says what it is, and a body.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

CHUNK_MAX_BYTES = 524_288
"""Half of what a topic takes, so a chunk never needs to be cut again."""
_COMPRESSION_LEVEL = 1
_LENGTHS = struct.Struct(">II")

Frame = tuple[bytes, bytes]
"""Head and body."""


class BrokenFramesError(Exception):
    """The bytes are damaged, or end in the middle."""


def sectioned(sections: Mapping[str, Iterable[Frame]]) -> Iterator[Frame]:
    """Put the frames of several states behind one another; no name holds a line break."""
    for name, frames in sections.items():
        mark = name.encode() + b"\n"
        for head, body in frames:
            yield mark + head, body


def sections_in(frames: Iterable[Frame]) -> Iterator[tuple[str, Iterator[Frame]]]:
    """Undo ``sectioned``: give each state's name and its frames, which must be read before the next."""
    for mark, some in groupby(frames, key=lambda frame: frame[0].partition(b"\n")[0]):
        yield mark.decode(), ((head[len(mark) + 1 :], body) for head, body in some)


def chunks_of(frames: Iterable[Frame]) -> Iterator[bytes]:
    """Give the frames in chunks of at most ``CHUNK_MAX_BYTES``; at least one.

    Works in small steps, so that it can run in a thread beside an event loop.
    """
    compressor = zlib.compressobj(_COMPRESSION_LEVEL)
    pending = bytearray()
    for head, body in frames:
        pending += compressor.compress(_LENGTHS.pack(len(head), len(body)) + head)
        pending += compressor.compress(body)
        while len(pending) >= CHUNK_MAX_BYTES:
            yield bytes(pending[:CHUNK_MAX_BYTES])
            del pending[:CHUNK_MAX_BYTES]
    pending += compressor.flush()
    while pending:
        yield bytes(pending[:CHUNK_MAX_BYTES])
        del pending[:CHUNK_MAX_BYTES]


def frames_in(chunks: Iterable[bytes]) -> Iterator[Frame]:
    """Undo compression and framing, holding no more than one chunk and one frame.

    Raises
    ------
    BrokenFramesError
        The bytes are damaged, or end in the middle.
    """
    decompressor = zlib.decompressobj()
    pending = bytearray()
    for chunk in chunks:
        try:
            pending += decompressor.decompress(chunk)
        except zlib.error as error:
            raise BrokenFramesError(str(error)) from error
        position = 0
        while len(pending) - position >= _LENGTHS.size:
            head_bytes, body_bytes = _LENGTHS.unpack_from(pending, position)
            start = position + _LENGTHS.size
            end = start + head_bytes + body_bytes
            if len(pending) < end:
                break
            yield bytes(pending[start : start + head_bytes]), bytes(pending[start + head_bytes : end])
            position = end
        del pending[:position]
    if pending or not decompressor.eof:
        raise BrokenFramesError("it ends in the middle")
