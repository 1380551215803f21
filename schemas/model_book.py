"""What stands in ``models`` for one purpose: manifests, where their bytes are, and which are in force."""

from core.learning.spread import Spread
from core.log import NewRecord, Record
from schemas.models import (
    Chunk,
    ModelManifest,
    PoolLaw,
    Purpose,
    Removed,
    Standing,
    read_model_record,
    removal_record,
)
from schemas.topics import RouteMap

KEEP_BYTES = 10
"""Of so many newest models the bytes are kept, besides those somebody uses: enough to go back a week of daily
training, and some 40 MB."""
KEEP_MANIFESTS = 200
"""So many newest manifests are kept, besides those in use: half a year of daily training, under two megabytes
that every reader reads at its start. The table ``models`` keeps all."""


class ModelBook:
    """The fold of ``models`` for one purpose. Holds offsets of chunks, not their bytes.

    Records may be given again, also older ones after newer: what was said last holds. Those of other
    purposes are passed over, and nothing of theirs is ever removed. Only jobs that are ordered have pools.
    """

    def __init__(self, purpose: Purpose = Purpose.ORDER) -> None:
        self.purpose = purpose
        self.manifests: dict[str, ModelManifest] = {}
        self.standing: Standing | None = None
        self.standing_offset = -1
        self.laws: dict[str, PoolLaw] = {}
        self.next_offset = 0
        self._chunks: dict[str, dict[int, int]] = {}
        """By digest: number of a chunk to its offset."""

    def take(self, record: Record) -> bool:
        """Fold one record; whether it said anything new besides chunks."""
        if record.offset < self.next_offset:
            return False
        self.next_offset = record.offset + 1
        match read_model_record(record, self.purpose):
            case Chunk(sha256, number):
                self._chunks.setdefault(sha256, {})[number] = record.offset
                return False
            case ModelManifest() as manifest:
                self.manifests[manifest.id] = manifest
            case Standing() as standing:
                self.standing, self.standing_offset = standing, record.offset
            case PoolLaw() as law:
                self.laws[law.pool] = law
            case Removed() as removed:
                self._remove(removed)
            case None:
                return False
        return True

    def _remove(self, removed: Removed) -> None:
        if removed.id:
            self.manifests.pop(removed.id, None)
            return
        chunks = self._chunks.get(removed.sha256, {})
        chunks.pop(removed.number, None)
        if not chunks:
            self._chunks.pop(removed.sha256, None)

    @property
    def newest(self) -> ModelManifest | None:
        """The manifest that was made last."""
        return self.manifests[max(self.manifests)] if self.manifests else None

    def law(self, pool: str) -> Spread | None:
        """Give the range of costs of a pool; None: not known, or models are disabled."""
        law = self.laws.get(pool)
        is_disabled = self.standing is not None and not self.standing.enabled
        return None if law is None or is_disabled else law.spread

    def has_bytes(self, manifest: ModelManifest) -> bool:
        """Whether all its chunks are in the topic."""
        return self._chunks.get(manifest.sha256, {}).keys() >= set(range(manifest.chunks))

    def first_chunk(self, manifest: ModelManifest) -> int:
        """Give the offset at which reading its bytes begins."""
        return min(self._chunks.get(manifest.sha256, {}).values(), default=self.next_offset)

    def needed(self) -> set[str]:
        """Give the ids of those that somebody uses or may go back to at once."""
        standing = self.standing
        if standing is None:
            return set()
        return {one for one in (standing.champion, standing.previous, standing.shadow) if one is not None}

    def superseded(self, routes: RouteMap) -> list[NewRecord]:
        """Give the records that remove what nobody needs any more.

        Chunks without a manifest are what somebody left who stopped while publishing. They are removed
        too, unless they stand behind the newest manifest: then they may be of a model being published.
        """
        newest_first = sorted(self.manifests, reverse=True)
        kept = {*newest_first[:KEEP_MANIFESTS], *self.needed()}
        with_bytes = {
            self.manifests[one].sha256
            for one in (*newest_first[:KEEP_BYTES], *self.needed() & kept)
            if one in self.manifests
        }
        known = {manifest.sha256 for manifest in self.manifests.values()}
        last = max((self.first_chunk(m) for m in self.manifests.values() if self.has_bytes(m)), default=0)
        gone = [Removed(id=one) for one in newest_first if one not in kept]
        gone += [
            Removed(sha256, number)
            for sha256, chunks in sorted(self._chunks.items())
            if sha256 not in with_bytes and (sha256 in known or max(chunks.values()) < last)
            for number in sorted(chunks)
        ]
        return [removal_record(routes, one, self.purpose) for one in gone]
