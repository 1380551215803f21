"""Keys of the gates in bounded memory: what is above a limit goes to a file of this process."""

import os
import sqlite3
import tempfile
from pathlib import Path

from core.gates.id_gate import KEY_BYTES, STORED_BYTES
from core.gates.key_table import SHARDS, KeyTable

ENTRY_BYTES = 86
"""Most memory one key takes (``KeyTable``)."""
CACHE_KIB = 16_384
"""Pages of its file one store keeps in memory, beside the limit; the system caches more where it can."""


class KeyMemory:
    """The memory that all stores of a process share.

    Parameters
    ----------
    max_bytes
        Above this the store with most keys in memory writes a part of them to its file.
    directory
        Where the files are; the system's directory for temporary files when None. They have no name
        and are gone with the process: the keys themselves stand in the log.
    """

    def __init__(self, max_bytes: int, directory: str | None = None) -> None:
        self._max_keys = max_bytes // ENTRY_BYTES
        self._directory = directory
        self._keys = 0
        self._stores: list[SpillingKeys] = []

    def store(self) -> "SpillingKeys":
        """Make one more store."""
        made = SpillingKeys(self)
        self._stores.append(made)
        return made

    @property
    def spilled(self) -> int:
        """Keys that stand in files."""
        return sum(store.spilled for store in self._stores)

    def taken(self, keys: int) -> None:
        """Note that so many keys more are in memory, and make room when they are too many."""
        self._keys += keys
        while self._keys > self._max_keys:
            fullest = max(self._stores, key=lambda store: store.in_memory)
            if not fullest.in_memory:
                return
            self._keys -= fullest.spill()

    def closed(self, store: "SpillingKeys") -> None:
        """Forget a store."""
        self._stores.remove(store)
        self._keys -= store.in_memory

    def file(self) -> sqlite3.Connection:
        """Open a new file; it loses its name at once, so nothing of it is left after a crash."""
        handle, name = tempfile.mkstemp(prefix="penstock-keys-", dir=self._directory)
        os.close(handle)
        connection = sqlite3.connect(name, isolation_level=None)
        # No journal and no syncing: whoever starts again begins at the log.
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KIB}"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        connection.execute("CREATE TABLE keys (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
        Path(name).unlink()
        return connection


class SpillingKeys:
    """A ``KeyStore`` whose newest keys are in memory; each that is not costs a look into the file.

    Raises ``sqlite3.OperationalError`` when the disk is full: the service stops and forgets nothing.
    """

    def __init__(self, memory: KeyMemory) -> None:
        self._memory = memory
        self._recent = KeyTable(KEY_BYTES, STORED_BYTES)
        self._file: sqlite3.Connection | None = None
        self._next_shard = 0
        self.in_memory = 0
        self.spilled = 0

    def __len__(self) -> int:
        return self.in_memory + self.spilled

    @property
    def size_bytes(self) -> int:
        """Memory of the keys that are there."""
        return self._recent.size_bytes

    def get(self, key: bytes) -> bytes | None:
        """Give the value of ``key``, or None."""
        value = self._recent.get(key)
        if value is not None or self._file is None:
            return value
        row = self._file.execute("SELECT value FROM keys WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value of a key that is not there yet."""
        self._recent.put(key, value)
        self.in_memory += 1
        self._memory.taken(1)

    def spill(self) -> int:
        """Write the next part that holds anything to the file; give how many keys."""
        if self._file is None:
            self._file = self._memory.file()
        taken: list[tuple[bytes, bytes]] = []
        for _ in range(SHARDS):
            taken = self._recent.take_shard(self._next_shard)
            self._next_shard = (self._next_shard + 1) % SHARDS
            if taken:
                break
        self._file.execute("BEGIN")
        self._file.executemany("INSERT INTO keys VALUES (?, ?)", sorted(taken))
        self._file.execute("COMMIT")
        self.in_memory -= len(taken)
        self.spilled += len(taken)
        return len(taken)

    def close(self) -> None:
        """Let go of memory and file."""
        self._memory.closed(self)
        self._recent.close()
        if self._file is not None:
            self._file.close()
