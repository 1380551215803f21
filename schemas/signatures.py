"""Records of ``signatures``: messages that taught something, in the order in which they are learned from.

Everything stands on partition 0 and is kept for good: what kinds of failures there are is a function of the
whole list (``core.signatures.book``), whoever reads it. The list is short: a message is appended only when
it begins a kind or makes a template more general, and both are bounded.
"""

import msgspec

from core.fault import FaultClass
from core.log import NewRecord, Record, TopicPartition
from core.signatures.book import Met, SignatureBook
from core.signatures.masks import WILDCARD, WORD_MAX_CHARS, WORDS_MAX
from core.signatures.shape import NAME_MAX_CHARS, Group, Shape
from schemas.codec import encode
from schemas.topics import RouteMap

TASK_TYPE_MAX_CHARS = 200
"""Above the longest type a job may have."""
_NUL = "\x00"


class MetFailure(msgspec.Struct, frozen=True, omit_defaults=True):
    """A failure as it was met: masked, so nothing in it is of one job."""

    error_class: str
    error_type: str
    location: str
    words: tuple[str, ...]
    task_type: str
    """Type of the job that failed."""


_decode = msgspec.json.Decoder(MetFailure).decode


def place_of_signatures(routes: RouteMap) -> TopicPartition:
    """Give the one partition on which all failures that taught something stand."""
    return TopicPartition(routes.signatures, 0)


def met_record(routes: RouteMap, shape: Shape, task_type: str) -> NewRecord:
    """Make the record of a failure that teaches something."""
    met = MetFailure(*shape.group, shape.words, task_type[:TASK_TYPE_MAX_CHARS])
    return NewRecord(routes.signatures, 0, None, encode(met), (("schema", b"1"),))


def read_met(record: Record) -> Met | None:
    """Read a record of ``signatures``; None for what only another version can read: it teaches nothing."""
    try:
        met = _decode(record.value or b"")
    except (msgspec.DecodeError, ValueError):
        return None
    if not _is_sound(met):
        return None
    shape = Shape(Group(met.error_class, met.error_type, met.location), met.words)
    return Met(shape, met.task_type, record.timestamp_ms, record.offset)


def _is_sound(met: MetFailure) -> bool:
    texts = (met.error_type, met.location, met.task_type, *met.words)
    return (
        met.error_class in set(FaultClass)
        and len(met.error_type) <= NAME_MAX_CHARS
        and len(met.location) <= 2 * NAME_MAX_CHARS + 1
        and len(met.task_type) <= TASK_TYPE_MAX_CHARS
        and len(met.words) <= WORDS_MAX + 1
        and all(len(word) <= WORD_MAX_CHARS and word != WILDCARD for word in met.words)
        and not any(_NUL in text for text in texts)
    )


class SignatureFold:
    """What stands in ``signatures``, as far as it was read; records may be given again."""

    def __init__(self) -> None:
        self.book = SignatureBook()
        self.next_offset = 0

    def take(self, record: Record) -> None:
        """Learn from one record."""
        if record.offset < self.next_offset:
            return
        self.next_offset = record.offset + 1
        met = read_met(record)
        if met is not None:
            self.book.learn(met)
