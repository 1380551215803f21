"""Records of the compacted topics of snapshots, and which of them make whole snapshots.

A snapshot of partition ``p`` up to offset ``N`` is some chunks and, written last, a manifest.
Their keys also carry the start of the contents' digest, so two writers of one ``N`` never mix chunks.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from core.ledger.image import LedgerImage
from core.ledger.snapshot import LAYOUT, chunk_digest, digest_of, is_readable
from core.log import NewRecord, Record
from schemas.codec import UnreadableRecordError, encode

KEEP = 2
"""Newest whole snapshots kept of each partition: one may be written while another is read."""
STEPS = 4
"""Of the snapshots written within each such share of the time the ledger is kept, the last is kept too, so
there is always one to trim to: the ledger then holds at most a quarter more than it must."""
_MANIFEST = "manifest"
_DIGEST_CHARS = 16


class SnapshotManifest(msgspec.Struct, frozen=True, tag="SNAPSHOT", tag_field="kind"):
    """Says what a snapshot consists of; without it, the chunks are nothing."""

    epoch: str
    partition: int
    next_offset: int
    """The ledger is folded up to here, exclusive. Of gates: the sum of ``positions``."""
    chunks: int
    size_bytes: int
    digest: str
    """SHA-256 (hex) of the SHA-256 of the chunks, in order."""
    layout: int
    fold_version: int
    """Of the rules that hold from ``next_offset`` on."""
    written_by: str
    """Instance name; for people."""
    positions: dict[str, int] = {}
    """Of gates: by name of the fold, up to which offset of its log."""
    keep_from: dict[str, int] = {}
    """Of gates: by name of the fold, the oldest record of its log that may have to be read again."""


class SnapshotId(NamedTuple):
    """Names one snapshot; the larger one is the newer."""

    next_offset: int
    digest: str
    """The first characters of it."""


class KeptSnapshot(NamedTuple):
    """A whole snapshot that can be read back."""

    manifest: SnapshotManifest
    written_ms: int
    """Broker time of its manifest; every ledger record below its offset was appended before."""
    first_record: int
    """Offset in the topic at or before its first record."""


class Place(NamedTuple):
    """What a record of the topic is part of; ``chunk`` None is the manifest."""

    partition: int
    snapshot: SnapshotId
    chunk: int | None


_decoder: msgspec.json.Decoder[SnapshotManifest] = msgspec.json.Decoder(SnapshotManifest)


def is_ledger_snapshot(manifest: SnapshotManifest) -> bool:
    """Whether this code can go on from the snapshot of a ledger fold."""
    return is_readable(manifest.layout, manifest.fold_version)


def manifest_of(partition: int, image: LedgerImage, chunks: list[bytes], written_by: str) -> SnapshotManifest:
    """Describe the chunks of an image."""
    return SnapshotManifest(
        image.epoch,
        partition,
        image.next_offset,
        len(chunks),
        sum(map(len, chunks)),
        digest_of(map(chunk_digest, chunks)),
        LAYOUT,
        image.version,
        written_by,
    )


def id_of(manifest: SnapshotManifest) -> SnapshotId:
    """Give the name of the snapshot it describes."""
    return SnapshotId(manifest.next_offset, manifest.digest[:_DIGEST_CHARS])


def chunk_record(topic: str, manifest: SnapshotManifest, number: int, chunk: bytes) -> NewRecord:
    """Make the record of one chunk."""
    key = _key(Place(manifest.partition, id_of(manifest), number))
    return NewRecord(topic, manifest.partition, key, chunk, (("kind", b"CHUNK"),))


def manifest_record(topic: str, manifest: SnapshotManifest) -> NewRecord:
    """Make the record that turns chunks into a snapshot; append it after they are acknowledged."""
    key = _key(Place(manifest.partition, id_of(manifest), None))
    return NewRecord(
        topic, manifest.partition, key, encode(manifest), (("schema", b"1"), ("kind", b"SNAPSHOT"))
    )


def place_of(record: Record) -> Place:
    """Read a record's key.

    Raises
    ------
    UnreadableRecordError
        Something else writes into the topic.
    """
    try:
        partition, offset, digest, part = (record.key or b"").decode().split("/")
        chunk = None if part == _MANIFEST else int(part)
        return Place(int(partition), SnapshotId(int(offset), digest), chunk)
    except ValueError as error:
        raise UnreadableRecordError(
            f"{record.topic}/{record.partition}/{record.offset} has no key of a snapshot: {error}"
        ) from error


def _key(place: Place) -> bytes:
    part = _MANIFEST if place.chunk is None else f"{place.chunk:06d}"
    snapshot = place.snapshot
    return f"{place.partition}/{snapshot.next_offset:020d}/{snapshot.digest}/{part}".encode()


@dataclass(slots=True)
class _Found:
    chunks: dict[int, bytes] = field(default_factory=dict)
    """Number to digest."""
    manifest: SnapshotManifest | None = None
    written_ms: int = 0
    first_record: int = 0
    foreign: bool = False
    """Its manifest is of another version of this code."""

    @property
    def whole(self) -> SnapshotManifest | None:
        manifest = self.manifest
        if manifest is None or len(self.chunks) < manifest.chunks:
            return None
        numbers = range(manifest.chunks)
        if not all(number in self.chunks for number in numbers):
            return None
        return manifest if digest_of(self.chunks[n] for n in numbers) == manifest.digest else None


class SnapshotCatalog:
    """The snapshots of one partition, as far as its records were taken, oldest first.

    Holds digests, no contents.

    Parameters
    ----------
    can_use
        Whether this code can go on from such a snapshot.
    """

    def __init__(self, epoch: str, can_use: Callable[[SnapshotManifest], bool] = is_ledger_snapshot) -> None:
        self._epoch = epoch
        self._can_use = can_use
        self._found: dict[SnapshotId, _Found] = {}

    def take(self, record: Record) -> Place:
        """Note a record, or the tombstone of one; give what it is part of.

        Raises
        ------
        UnreadableRecordError
            Something else writes into the topic.
        """
        place = place_of(record)
        found = self._found.setdefault(place.snapshot, _Found(first_record=record.offset))
        if place.chunk is None:
            self._take_manifest(found, record)
        elif record.value is None:
            found.chunks.pop(place.chunk, None)
        else:
            found.chunks[place.chunk] = chunk_digest(record.value)
        if not found.chunks and found.manifest is None and not found.foreign:
            del self._found[place.snapshot]
        return place

    def whole(self, at_least: int = 0, at_most: int | None = None) -> list[KeptSnapshot]:
        """Give the whole snapshots this code can use, oldest first.

        Parameters
        ----------
        at_least, at_most
            Leave out those that reach less far or further than this ledger offset.
        """
        return [
            KeptSnapshot(manifest, found.written_ms, found.first_record)
            for _, found, manifest in sorted(self._usable(), key=lambda usable: usable[0])
            if at_least <= manifest.next_offset and (at_most is None or manifest.next_offset <= at_most)
        ]

    def is_whole(self, name: SnapshotId) -> bool:
        """Whether this snapshot can be read back."""
        return any(name == usable for usable, _, _ in self._usable())

    def digest(self, name: SnapshotId, chunk: int) -> bytes | None:
        """Give the digest of a chunk as it was last taken; None when there is none."""
        found = self._found.get(name)
        return None if found is None else found.chunks.get(chunk)

    def superseded(self, topic: str, partition: int, *, log_start: int, step_ms: int) -> list[NewRecord]:
        """Give the tombstones of everything nobody needs any more.

        Kept are the ``KEEP`` newest whole snapshots; once the ledger is trimmed the first at or after
        its start, where a fold of what there is begins; and the last written in every ``step_ms``. A
        snapshot of another epoch, or of a later version of this code, is left alone: whoever
        understands it removes it. A writer that knows less than all only removes less.
        """
        whole = self.whole()
        if len(whole) < KEEP:
            return []
        newest = [id_of(kept.manifest) for kept in whole[-KEEP:]]
        after_start = [kept for kept in whole if kept.manifest.next_offset >= log_start]
        first = after_start[: 1 if log_start else 0]
        steps = {kept.written_ms // step_ms: kept for kept in after_start} if step_ms else {}
        needed = {id_of(kept.manifest) for kept in (*first, *steps.values())}
        return [
            NewRecord(topic, partition, _key(Place(partition, name, chunk)), None)
            for name, found in sorted(self._found.items())
            if name < newest[0] and name not in needed and self._is_ours(found)
            for chunk in (*([None] if found.manifest else []), *sorted(found.chunks))
        ]

    def _take_manifest(self, found: _Found, record: Record) -> None:
        found.manifest, found.foreign, found.written_ms = None, False, record.timestamp_ms
        if record.value is None:
            return
        try:
            found.manifest = _decoder.decode(record.value)
        except msgspec.DecodeError:
            # Not an error: the record of a version whose manifests look different.
            found.foreign = True

    def _usable(self) -> list[tuple[SnapshotId, _Found, SnapshotManifest]]:
        return [
            (name, found, manifest)
            for name, found in self._found.items()
            if self._is_ours(found) and (manifest := found.whole) is not None
        ]

    def _is_ours(self, found: _Found) -> bool:
        manifest = found.manifest
        if manifest is None:
            return not found.foreign
        return manifest.epoch == self._epoch and self._can_use(manifest)
