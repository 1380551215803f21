"""Records of the topic ``desk``: what people did with dead letters, and whether redrives are paused.

All stands on one partition, in one order, and is kept for good: who redrives reads all of it first. An act
is told before anything is done about it, and each portion of letters before it is touched: what was done is
never more than what is told.
"""

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from core.log import NewRecord, Record, TopicPartition
from schemas.codec import encode
from schemas.topics import RouteMap

LETTERS_MAX = 1000
"""Most letters in one record: some 45 kB, far below ``schemas.topics.APPEND_MAX_BYTES``."""


class ActKind(StrEnum):
    """What was done."""

    REDRIVE = "redrive"
    DROP = "drop"
    EXPORT = "export"
    PAUSE = "pause"
    RESUME = "resume"


class Outcome(StrEnum):
    """How an act ended."""

    DONE = "done"
    STOPPED = "stopped"
    """It stopped itself: what it redrove failed again."""
    INTERRUPTED = "interrupted"
    """Somebody stopped it."""
    FAILED = "failed"


class Letter(msgspec.Struct, frozen=True, array_like=True):
    """A dead letter: the job, and the dispatch after which it was given up."""

    job_id: str
    n: int


class ActBegun(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="BEGUN"):
    """Somebody begins an act; of a pause or a resume it is all there is."""

    act: str
    """Its id; sorts by when it began."""
    what: ActKind
    by: str
    reason: str = ""
    filter: str = ""
    """The conditions as they were written, or the ids."""
    found: int = 0
    """Letters it is about."""
    rate_per_s: float | None = None
    edit: str = ""
    """What a patch sets and removes, as pointers: values may be secret."""


class LettersTreated(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="TREATED"):
    """The act is about to do it to these."""

    act: str
    what: ActKind
    letters: tuple[Letter, ...]


class ActEnded(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="ENDED"):
    """The act is over; missing when whoever did it was killed."""

    act: str
    outcome: Outcome
    words: str = ""


DeskRecord = ActBegun | LettersTreated | ActEnded

_decoder: msgspec.json.Decoder[DeskRecord] = msgspec.json.Decoder(DeskRecord)
_NUL = b"\\u0000"


def place_of_desk(routes: RouteMap) -> TopicPartition:
    """Give the one partition on which everything about the desk stands."""
    return TopicPartition(routes.desk, 0)


def desk_record(routes: RouteMap, message: DeskRecord) -> NewRecord:
    """Make the record; its key is the act."""
    return NewRecord(routes.desk, 0, message.act.encode(), encode(message), (("schema", b"1"),))


def portions(act: str, what: ActKind, letters: Iterable[Letter]) -> list[LettersTreated]:
    """Cut letters into records of at most ``LETTERS_MAX``."""
    every = tuple(letters)
    return [
        LettersTreated(act, what, every[at : at + LETTERS_MAX]) for at in range(0, len(every), LETTERS_MAX)
    ]


def read_desk_record(record: Record) -> DeskRecord | None:
    """Read a record of ``desk``; None for what only another version can read, or Postgres cannot store."""
    if record.value is None or _NUL in record.value:
        return None
    try:
        return _decoder.decode(record.value)
    except msgspec.DecodeError:
        return None


class DeskStanding:
    """Whether redrives are paused, and by whom: the newest pause or resume that was read."""

    def __init__(self) -> None:
        self.last: ActBegun | None = None

    def take(self, record: Record) -> None:
        """Fold one record; in order of offsets."""
        match read_desk_record(record):
            case ActBegun(what=ActKind.PAUSE | ActKind.RESUME) as said:
                self.last = said
            case _:
                pass

    @property
    def paused(self) -> ActBegun | None:
        """Who paused and why; None: redrives may go on."""
        return self.last if self.last is not None and self.last.what is ActKind.PAUSE else None
