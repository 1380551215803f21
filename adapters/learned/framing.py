"""How models stand in bytes: magic, length of a JSON header, the header, and what it speaks of."""

import struct
from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

H = TypeVar("H")
_LENGTH = struct.Struct("<I")


def framed(magic: bytes, header: msgspec.Struct, parts: Iterable[bytes]) -> bytes:
    """Give the bytes of a model."""
    head = msgspec.json.encode(header)
    return b"".join((magic, _LENGTH.pack(len(head)), head, *parts))


def header_of(
    data: bytes, magic: bytes, decode: Callable[[bytes], H], *, max_bytes: int, what: str
) -> tuple[H, int]:
    """Give the header, and where what it speaks of begins.

    Parameters
    ----------
    what
        These bytes should be, in words.

    Raises
    ------
    ValueError
        They are something else, damaged or cut off.
    """
    begin = len(magic) + _LENGTH.size
    if not data.startswith(magic) or len(data) < begin:
        raise ValueError(f"these bytes are no {what} of Penstock, or of another version")
    (size_bytes,) = _LENGTH.unpack_from(data, len(magic))
    if not 0 < size_bytes <= min(max_bytes, len(data) - begin):
        raise ValueError(f"a header of {size_bytes} bytes: the model is damaged or cut off")
    try:
        return decode(data[begin : begin + size_bytes]), begin + size_bytes
    except msgspec.DecodeError as error:
        raise ValueError(f"the header cannot be read ({error}): the model is damaged") from error
