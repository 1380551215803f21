"""Records of the compacted topic ``ledger.snapshots``, and which of them make whole snapshots.

A snapshot of ledger partition ``p`` up to offset ``N`` is some chunks and, written last, a manifest.
Their keys also carry the start of the contents' digest, so two writers of one ``N`` never mix chunks.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from core.ledger.image import LedgerImage
from core.ledger.snapshot import LAYOUT, chunk_digest, digest_of, is_readable
from core.log import NewRecord, Record
from schemas.codec import UnreadableRecordError, encode
from schemas.topics import RouteMap

KEEP = 2
"""Whole snapshots kept of each partition: one may be written while another is read."""
_MANIFEST = "manifest"
_DIGEST_CHARS = 16


class SnapshotManifest(msgspec.Struct, frozen=True, tag="SNAPSHOT", tag_field="kind"):
    """Says what a snapshot consists of; without it, the chunks are nothing."""

    epoch: str
    partition: int
    next_offset: int
    """The ledger is folded up to here, exclusive."""
    chunks: int
    size_bytes: int
    digest: str
    """SHA-256 (hex) of the SHA-256 of the chunks, in order."""
    layout: int
    fold_version: int
    """Of the rules that hold from ``next_offset`` on."""
    written_by: str
    """Instance name; for people."""


class SnapshotId(NamedTuple):
    """Names one snapshot; the larger one is the newer."""

    next_offset: int
    digest: str
    """The first characters of it."""


class Place(NamedTuple):
    """What a record of the topic is part of; ``chunk`` None is the manifest."""

    partition: int
    snapshot: SnapshotId
    chunk: int | None


_decoder: msgspec.json.Decoder[SnapshotManifest] = msgspec.json.Decoder(SnapshotManifest)


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


def chunk_record(routes: RouteMap, manifest: SnapshotManifest, number: int, chunk: bytes) -> NewRecord:
    """Make the record of one chunk."""
    key = _key(Place(manifest.partition, id_of(manifest), number))
    return NewRecord(routes.snapshots, manifest.partition, key, chunk, (("kind", b"CHUNK"),))


def manifest_record(routes: RouteMap, manifest: SnapshotManifest) -> NewRecord:
    """Make the record that turns chunks into a snapshot; append it after they are acknowledged."""
    key = _key(Place(manifest.partition, id_of(manifest), None))
    return NewRecord(
        routes.snapshots, manifest.partition, key, encode(manifest), (("schema", b"1"), ("kind", b"SNAPSHOT"))
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
    """

    def __init__(self, epoch: str) -> None:
        self._epoch = epoch
        self._found: dict[SnapshotId, _Found] = {}

    def take(self, record: Record) -> Place:
        """Note a record, or the tombstone of one; give what it is part of.

        Raises
        ------
        UnreadableRecordError
            Something else writes into the topic.
        """
        place = place_of(record)
        found = self._found.setdefault(place.snapshot, _Found())
        if place.chunk is None:
            self._take_manifest(found, record.value)
        elif record.value is None:
            found.chunks.pop(place.chunk, None)
        else:
            found.chunks[place.chunk] = chunk_digest(record.value)
        if not found.chunks and found.manifest is None and not found.foreign:
            del self._found[place.snapshot]
        return place

    def newest(self, at_most: int | None = None) -> SnapshotManifest | None:
        """Give the newest whole snapshot this code can use; None when there is none.

        Parameters
        ----------
        at_most
            Ignore those that reach beyond this ledger offset.
        """
        usable = [
            manifest for _, manifest in self._usable() if at_most is None or manifest.next_offset <= at_most
        ]
        return max(usable, key=id_of, default=None)

    def is_whole(self, name: SnapshotId) -> bool:
        """Whether this snapshot can be read back."""
        return any(name == usable for usable, _ in self._usable())

    def superseded(self, routes: RouteMap, partition: int) -> list[NewRecord]:
        """Give the tombstones of everything older than the ``KEEP`` newest whole snapshots.

        A snapshot of another epoch, or of a later version of this code, is left alone: whoever
        understands it removes it. A writer that knows less than all only removes less.
        """
        kept = sorted(name for name, _ in self._usable())[-KEEP:]
        if len(kept) < KEEP:
            return []
        return [
            NewRecord(routes.snapshots, partition, _key(Place(partition, name, chunk)), None)
            for name, found in sorted(self._found.items())
            if name < kept[0] and self._is_ours(found)
            for chunk in (*([None] if found.manifest else []), *sorted(found.chunks))
        ]

    def _take_manifest(self, found: _Found, value: bytes | None) -> None:
        found.manifest, found.foreign = None, False
        if value is None:
            return
        try:
            found.manifest = _decoder.decode(value)
        except msgspec.DecodeError:
            # Not an error: the record of a version whose manifests look different.
            found.foreign = True

    def _usable(self) -> list[tuple[SnapshotId, SnapshotManifest]]:
        return [
            (name, manifest)
            for name, found in self._found.items()
            if self._is_ours(found) and (manifest := found.whole) is not None
        ]

    def _is_ours(self, found: _Found) -> bool:
        manifest = found.manifest
        if manifest is None:
            return not found.foreign
        return manifest.epoch == self._epoch and is_readable(manifest.layout, manifest.fold_version)
