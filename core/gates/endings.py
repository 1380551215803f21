"""Which jobs have ended at a gate, and as which dispatch: what makes repeated and late records harmless."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from core.frames import Frame
from core.gates.ended import Ended
from core.ledger.finished import FinishedJobs
from core.ledger.fold import WrongEpochError
from penstock.identity import Origin


class _Bitmap(msgspec.Struct, frozen=True, tag="bitmap", tag_field="frame"):
    n: int
    partition: int


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(_Bitmap)


@dataclass(frozen=True, slots=True)
class Endings:
    """The ends a gate has read of, for ever: 0.5 to 2 bytes a job, twice that without success."""

    _epoch: str
    _finished: FinishedJobs = field(default_factory=FinishedJobs)

    def __len__(self) -> int:
        return len(self._finished)

    def place(self, origin: str) -> Origin:
        """Read an origin.

        Raises
        ------
        core.ledger.fold.WrongEpochError
            It is of another incarnation of the topics.
        """
        place = Origin.parse(origin)
        if place.epoch != self._epoch:
            raise WrongEpochError(
                f"a gate record names origin {origin}, but this service runs on epoch {self._epoch}: the "
                "topics were recreated or the service points at another cluster"
            )
        # Places are kept: one text of the epoch for all.
        return Origin(self._epoch, place.partition, place.offset)

    def may_enter(self, place: Origin, n: int) -> bool:
        """Whether dispatch ``n`` enters, as far as is known: the job has not ended, or is redriven.

        Opens a job again that ended with the dispatch before.
        """
        return place not in self._finished or self._finished.reopen(place, n)

    def end(self, place: Origin, ended: Ended) -> bool:
        """Note an end; False when it is known, or older than one that is."""
        if place in self._finished:
            last = self._finished.last_failed(place)
            if last == 0 or ended.n <= last:
                return False
            # The end of a redrive came before its entering.
            self._finished.reopen(place, last + 1)
        if ended.succeeded:
            self._finished.succeeded(place)
        else:
            self._finished.failed(place, ended.n)
        return True

    def end_unrun(self, place: Origin, n: int) -> None:
        """Note that the gate itself ends a job that never ran."""
        self._finished.failed(place, n)

    def copy(self) -> "Endings":
        """Give an equal one of its own."""
        return Endings(self._epoch, self._finished.copy())

    def frames(self) -> Iterable[Frame]:
        """Give everything in frames that ``put`` takes."""
        return ((_encode(_Bitmap(n, partition)), data) for n, partition, data in self._finished.bitmaps())

    def put(self, frame: Frame) -> None:
        """Take in one frame.

        Raises
        ------
        msgspec.MsgspecError, ValueError
            It is none of these frames.
        """
        head = _decoder.decode(frame[0])
        self._finished.put(head.n, head.partition, frame[1])
