"""Folding what was read of the ledger: from records to verdicts that hold."""

from collections.abc import Iterable
from typing import NamedTuple

from core.ledger.fold import LedgerFold, NewerFoldVersionError, WrongEpochError
from core.ledger.notes import Note
from core.ledger.outcome import Outcome
from core.ledger.verdicts import Verdict
from core.log import Record
from schemas.codec import (
    FOLD_KIND,
    UnreadableRecordError,
    decode_fold_version,
    decode_if_note,
    decode_if_verdict,
)


class LedgerGapError(Exception):
    """Records of the ledger are missing before one that was read; folding on would be guessing."""


class FoldedEvent(NamedTuple):
    """One ledger record and, for a verdict, what the fold says of it."""

    partition: int
    offset: int
    timestamp_ms: int
    event: Verdict | Note
    outcome: Outcome | None
    """None for a note."""


class LedgerFolds:
    """One ``LedgerFold`` per partition followed so far, kept when a partition is lost for a while.

    Parameters
    ----------
    with_notes
        Give notes too; otherwise they are skipped by their header, unparsed.
    """

    def __init__(self, epoch: str, *, with_notes: bool) -> None:
        self._epoch = epoch
        self._with_notes = with_notes
        self._folds: dict[int, LedgerFold] = {}

    def fold(self, partition: int) -> LedgerFold:
        """Give the fold of one partition, empty when nothing was read yet."""
        fold = self._folds.get(partition)
        if fold is None:
            fold = self._folds[partition] = LedgerFold(self._epoch)
        return fold

    def next_offset(self, partition: int) -> int:
        """Offset of the first record of this partition not taken yet."""
        return self.fold(partition).next_offset

    def adopt(self, partition: int, fold: LedgerFold) -> bool:
        """Go on from a restored fold; False, changing nothing, when this partition is as far already.

        Raises
        ------
        core.ledger.fold.WrongEpochError
            The fold is of another incarnation of the topics.
        """
        if fold.epoch != self._epoch:
            raise WrongEpochError(f"a snapshot of epoch {fold.epoch} was given to a service on {self._epoch}")
        if fold.next_offset <= self.next_offset(partition):
            return False
        self._folds[partition] = fold
        return True

    def take(self, records: Iterable[Record]) -> list[FoldedEvent]:
        """Fold records of the ledger, in offset order within each partition.

        Records taken before are skipped, so reading a stretch twice is harmless; notes of a kind this
        version does not know say nothing to it.

        Raises
        ------
        LedgerGapError
            A stretch was never given; the service stops and starts over from the log.
        core.ledger.fold.WrongEpochError
            The topics were recreated under a running service.
        UnreadableRecordError
            The ledger goes on under rules of a newer version: stop, and run that.
        """
        folded: list[FoldedEvent] = []
        for record in records:
            fold = self.fold(record.partition)
            if record.offset < fold.next_offset:
                continue
            if record.offset > fold.next_offset:
                raise LedgerGapError(
                    f"ledger partition {record.partition} jumps from {fold.next_offset} to "
                    f"{record.offset}; restart the service, it restores itself from the log"
                )
            verdict = decode_if_verdict(record)
            if verdict is not None:
                outcome = fold.apply(record.offset, record.timestamp_ms, verdict)
                folded.append(_folded(record, verdict, outcome))
                continue
            if record.header("kind") == FOLD_KIND:
                _announce(fold, record)
                continue
            fold.skip_to(record.offset + 1)
            note = decode_if_note(record) if self._with_notes else None
            if note is not None:
                folded.append(_folded(record, note, None))
        return folded


def _announce(fold: LedgerFold, record: Record) -> None:
    try:
        fold.announce(record.offset, decode_fold_version(record).version)
    except NewerFoldVersionError as error:
        raise UnreadableRecordError(f"{record.topic}/{record.partition}: {error}") from error


def _folded(record: Record, event: Verdict | Note, outcome: Outcome | None) -> FoldedEvent:
    return FoldedEvent(record.partition, record.offset, record.timestamp_ms, event, outcome)
