"""Frames: a state as bytes in bounded chunks, and back, in small steps.

The bytes are one zlib stream of frames, cut into chunks. A frame is two lengths (unsigned 32-bit, big
endian), a head that says what it is, and a body.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator

CHUNK_MAX_BYTES = 524_288
"""Half of what a topic takes, so a chunk never needs to be cut again."""
_COMPRESSION_LEVEL = 1
_LENGTHS = struct.Struct(">II")

Frame = tuple[bytes, bytes]
"""Head and body."""


class BrokenFramesError(Exception):
    """The bytes are damaged, or end in the middle."""


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
