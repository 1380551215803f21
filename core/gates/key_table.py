"""A map of fixed-size keys to fixed-size values that holds millions of them in little memory."""

from typing import Protocol

SHARDS = 256
"""Growing copies one shard, so the longest pause is a 256th of copying the table."""
_FIRST_SLOTS = 8
_LOAD_MAX = 0.75
_GROWTH = 1.5
"""With the load above: between half and three quarters of the slots are used."""


class KeyStore(Protocol):
    """Where a gate keeps its keys: every key once, never removed."""

    def __len__(self) -> int:
        """How many keys there are."""
        ...

    @property
    def size_bytes(self) -> int:
        """Memory they take."""
        ...

    def get(self, key: bytes) -> bytes | None:
        """Give the value of ``key``, or None."""
        ...

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value of a key that is not there yet."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


class KeyTable:
    """A map of byte strings, each entry in one slot of a byte array (linear probing).

    At 16-byte keys and 26-byte values an entry takes 57 to 86 bytes; a dict of bytes objects takes
    about 180. Entries are never removed. Not promised: any order; the layout differs between
    processes, because Python's hash of bytes is seeded against chosen collisions.

    Parameters
    ----------
    key_bytes, value_bytes
        Sizes of every key and value.
    """

    def __init__(self, key_bytes: int, value_bytes: int) -> None:
        self._key_bytes = key_bytes
        self._value_bytes = value_bytes
        self._slot_bytes = 1 + key_bytes + value_bytes
        self._shards = [bytearray() for _ in range(SHARDS)]
        self._counts = [0] * SHARDS

    def __len__(self) -> int:
        return sum(self._counts)

    @property
    def size_bytes(self) -> int:
        """Bytes of all slots, used or not."""
        return sum(map(len, self._shards))

    def close(self) -> None:
        """Let go of everything."""
        for number in range(SHARDS):
            self.take_shard(number)

    def take_shard(self, number: int) -> list[tuple[bytes, bytes]]:
        """Give the keys and values of one shard, which is empty afterwards."""
        shard, key_end = self._shards[number], 1 + self._key_bytes
        self._shards[number], self._counts[number] = bytearray(), 0
        return [
            (
                bytes(shard[start + 1 : start + key_end]),
                bytes(shard[start + key_end : start + self._slot_bytes]),
            )
            for start in range(0, len(shard), self._slot_bytes)
            if shard[start]
        ]

    def get(self, key: bytes) -> bytes | None:
        """Give the value of ``key``, or None."""
        hashed = hash(key)
        shard = self._shards[hashed % SHARDS]
        if not shard:
            return None
        place = self._find(shard, key, hashed)
        if not shard[place]:
            return None
        start = place + 1 + self._key_bytes
        return bytes(shard[start : start + self._value_bytes])

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value of ``key``.

        Raises
        ------
        ValueError
            Key or value has another size; a defect of the caller.
        """
        if len(key) != self._key_bytes or len(value) != self._value_bytes:
            raise ValueError(f"key of {len(key)} and value of {len(value)} bytes do not fit this table")
        hashed = hash(key)
        number = hashed % SHARDS
        shard = self._shards[number]
        if (self._counts[number] + 1) * self._slot_bytes > len(shard) * _LOAD_MAX:
            shard = self._shards[number] = self._grown(shard)
        place = self._find(shard, key, hashed)
        self._counts[number] += not shard[place]
        self._write(shard, place, hashed, key + value)

    def _find(self, shard: bytearray, key: bytes, hashed: int) -> int:
        """Give the place of the key's slot, or of the empty one where it would go."""
        slot_bytes, key_bytes, mark = self._slot_bytes, self._key_bytes, _mark(hashed)
        place = self._first_place(shard, hashed)
        while found := shard[place]:
            # The mark differs for all but every 128th other key, so few keys are compared.
            if found == mark and shard[place + 1 : place + 1 + key_bytes] == key:
                break
            place += slot_bytes
            if place == len(shard):
                place = 0
        return place

    def _first_place(self, shard: bytearray, hashed: int) -> int:
        return (hashed // SHARDS) % (len(shard) // self._slot_bytes) * self._slot_bytes

    def _write(self, shard: bytearray, place: int, hashed: int, content: bytes) -> None:
        shard[place] = _mark(hashed)
        shard[place + 1 : place + self._slot_bytes] = content

    def _grown(self, shard: bytearray) -> bytearray:
        slot_bytes, key_end = self._slot_bytes, 1 + self._key_bytes
        slots = max(_FIRST_SLOTS, int(len(shard) // slot_bytes * _GROWTH))
        larger = bytearray(slots * slot_bytes)
        for start in range(0, len(shard), slot_bytes):
            if shard[start]:
                key = bytes(shard[start + 1 : start + key_end])
                content = bytes(shard[start + 1 : start + slot_bytes])
                hashed = hash(key)
                self._write(larger, self._find(larger, key, hashed), hashed, content)
        return larger


def _mark(hashed: int) -> int:
    """Seven bits of the hash that choose neither shard nor place; never 0, which means empty."""
    return 0x80 | (hashed >> 50) & 0x7F
