"""What stands in ``features``, and what should, by a fold of ``jobs.outcomes`` that never stopped."""

from collections.abc import Iterable, Mapping

from core.learning.aggregates import image
from core.learning.events import Key
from core.log import Record
from schemas.codec import decode_outcome
from schemas.features import FoldProgress, KnownOfKey, read_feature
from schemas.topics import RouteMap
from services.features.fold import restored_folds


def published(records: Iterable[Record]) -> tuple[dict[Key, bytes], dict[int, int]]:
    """Give the image of every key, and how far each partition of the outcomes is folded."""
    images: dict[Key, bytes] = {}
    far: dict[int, int] = {}
    for record in records:
        match read_feature(record):
            case FoldProgress() as progress:
                far[record.partition] = progress.next_offset
            case (key, KnownOfKey() as known):
                images[key] = known.image
            case None:
                raise AssertionError(f"unreadable: {record}")
    return images, {partition: offset for partition, offset in far.items() if offset}


def expected(
    records: Iterable[Record], routes: RouteMap, until: Mapping[int, int] | None = None
) -> tuple[dict[Key, bytes], dict[int, int]]:
    """Fold outcomes from their first record on: all, or those before an offset of their partition."""
    count = routes.learning_partitions
    folds = restored_folds(dict.fromkeys(range(count), 0), {}, count)
    for record in records:
        if until is not None and record.offset >= until.get(record.partition, 0):
            continue
        folds[record.partition].take(record.offset, decode_outcome(record), record.timestamp_ms)
    images = {key: image(state) for fold in folds.values() for key, state in fold.states.items()}
    return images, {partition: fold.next_offset for partition, fold in folds.items() if fold.next_offset}
