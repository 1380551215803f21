"""Which epoch holds, read from the records of ``control``; pure."""

from collections.abc import Iterable

import msgspec

from core.epoch import TopicMark
from core.ledger.fold import FIRST_FOLD_VERSION
from core.log import Record
from schemas.codec import decode_control
from schemas.control import EPOCH_KEY, FOLD_VERSION_KEY, EpochRecord, FoldVersionRecord


def newest_epoch(records: Iterable[Record]) -> EpochRecord | None:
    """Give the epoch that holds, with all topics bound to it and the newest fold version announced since.

    Of the newest generation the first record names the epoch; later ones of that name add to it,
    and those of another name lost a race. A fold version belongs to the epoch it was announced under.

    Parameters
    ----------
    records
        Of ``control``, in offset order; those of other keys are ignored.
    """
    found: EpochRecord | None = None
    for record in records:
        if record.value is None or record.key not in (EPOCH_KEY, FOLD_VERSION_KEY):
            continue
        message = decode_control(record)
        if isinstance(message, EpochRecord):
            found = _after(found, message)
        elif isinstance(message, FoldVersionRecord) and found is not None:
            found = _under(found, message.version)
    return found


def bound_to(epoch: EpochRecord, cluster_id: str, topics: dict[str, TopicMark]) -> EpochRecord:
    """Give the record that adds topics to an epoch; what is bound already stays as it is."""
    return msgspec.structs.replace(
        epoch, cluster_id=epoch.cluster_id or cluster_id, topics=topics | epoch.topics
    )


def first_epoch(name: str, partitions: int, now_ms: int) -> EpochRecord:
    """Give the record of a pipeline's first epoch; its topics are bound to it afterwards."""
    return EpochRecord(name, partitions, FIRST_FOLD_VERSION, now_ms)


def _after(found: EpochRecord | None, new: EpochRecord) -> EpochRecord:
    if found is None or new.generation > found.generation:
        return new
    if new.generation < found.generation or new.epoch != found.epoch:
        return found
    if new.making != found.making:
        return _under(new, found.fold_version)
    return bound_to(_under(new, found.fold_version), found.cluster_id, found.topics)


def _under(epoch: EpochRecord, version: int) -> EpochRecord:
    return msgspec.structs.replace(epoch, fold_version=max(version, epoch.fold_version))
