"""Records of ``features``: what is known of each key, and how far each partition of outcomes is folded.

The last record of a partition is always how far it is: whoever wants to know only that reads one record.
"""

import msgspec

from core.learning.aggregates import KeyAggregates, image, restored
from core.learning.events import Key
from core.log import NewRecord, Record
from schemas.outcomes import encode, key_bytes, key_of
from schemas.topics import RouteMap

FOLD = 1
"""Raised whenever what an image holds, or how it is folded, changes; those of other folds are passed over."""
PROGRESS_KEY = b"progress"


class KnownOfKey(msgspec.Struct, frozen=True):
    """The aggregates of one key, as ``core.learning.aggregates.image`` gives them."""

    fold: int
    at_s: int
    """Newest second they hold, since 1970: of two records the one with the larger counts."""
    image: bytes


class FoldProgress(msgspec.Struct, frozen=True):
    """How far one partition of ``jobs.outcomes`` is folded."""

    next_offset: int
    end_ms: int
    """Largest ``end_ms`` of the reports that were read."""


_decode_known = msgspec.json.Decoder(KnownOfKey).decode
_decode_progress = msgspec.json.Decoder(FoldProgress).decode


def known_bytes(state: KeyAggregates) -> bytes:
    """Write what is known of a key, as ``features`` and its changelog carry it."""
    return encode(KnownOfKey(FOLD, state.at_s, image(state)))


def read_known(value: bytes) -> KnownOfKey | None:
    """Read what ``known_bytes`` wrote; None when it is of another fold: that key begins anew."""
    known = _decode_known(value)
    return known if known.fold == FOLD else None


def feature_record(routes: RouteMap, partition: int, key: Key, state: KeyAggregates) -> NewRecord:
    """Make the record that tells what is known of a key."""
    return NewRecord(routes.features, partition, key_bytes(key), known_bytes(state))


def progress_record(routes: RouteMap, partition: int, progress: FoldProgress) -> NewRecord:
    """Make the record that tells how far a partition is; it goes behind what was folded by then."""
    return NewRecord(routes.features, partition, PROGRESS_KEY, encode(progress))


def read_feature(record: Record) -> tuple[Key, KnownOfKey] | FoldProgress | None:
    """Read a record of ``features``; None for what only another version can read: features do without."""
    try:
        if record.key == PROGRESS_KEY:
            return _decode_progress(record.value or b"")
        known = read_known(record.value or b"")
        return None if known is None else (key_of(record.key or b""), known)
    except (msgspec.DecodeError, ValueError):
        return None


def state_of(known: KnownOfKey) -> KeyAggregates:
    """Give the aggregates of a key.

    Raises
    ------
    ValueError
        The image is damaged.
    """
    return restored(known.image)
