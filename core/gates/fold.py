"""What a gate with a log of its own is: a pure fold of that log that says who passes.

How a job meets such a gate, whichever it is:

1. Whoever let the job through the gate before appends *entered* to the gate's log, at the partition of
   the gate's key: the whole job (``AcceptedJob``, header ``kind`` = ``ENTERED``).
2. The scheduler that owns the partition folds the record (``GateFold.take``) and does what the returned
   effects say: an append for each, at least once. *Passed* sends the job on (``schemas.routing.onward``).
3. When a verdict that ends a gated job holds in the ledger, the scheduler that owns the job's home appends
   *ended* (``core.gates.ended.Ended``) to every gate the job has, whether or not it entered there yet.

What a fold must keep to, and may rely on:

- It is a function of the records taken, in order; it asks no clock and no other log. What a decision needs
  to know (a setting, a time) stands in the records.
- Any record may come again, later, under another offset: hand-overs repeat. An *ended* may come before its
  *entered* (a cancel overtakes), and then the *entered* must do nothing. So a fold remembers by (origin, n)
  who entered and who ended, for ever; ``core.ledger.finished.FinishedJobs`` does so in a few bits a job.
- Of two *ended* of one (origin, n) the first is the true one; a later one may say another state.
- ``n`` in *entered* is the first dispatch of this entering: 1, or that of a redrive. ``n`` in *ended* is the
  dispatch the job ended with; it ends the entering with the largest ``n`` not above it.
- An effect is acted on at least once, and again after any crash before the commit: the fold is restored from
  a snapshot, takes the records up to the commit without acting, and gives the same effects from there on.
  The ledger refuses a dispatch that is released twice.
- An effect names the *entered* record by its offset. A fold keeps no job: a record that is not at hand is
  read again. So nothing below ``GateImage.keep_from`` may be needed by any later effect but *boosts*, which
  are left out when the record is gone.

To plug in a gate: a class that satisfies ``GateFold``, its line in ``schemas.gate_logs.gate_parts``, and its
place in ``schemas.routing``. Another effect: a class here, and what is done about it in
``services.scheduler.decide.carried_out``. Another kind of record: written by ``schemas.gates``; a record of a
kind that the fold does not know stops the service.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol, Self

from core.frames import Frame
from core.gates.gate import Gate
from core.gates.id_gate import GateGapError
from core.gates.workflow_graph import Parents
from core.log import Record
from core.urgency import Urgency


class Passed(NamedTuple):
    """The job that entered at ``offset`` passes the gate as dispatch ``n``.

    When that is a later one than it entered as, the gate opens the job again (REDRIVEN).
    """

    offset: int
    n: int = 0
    """0: as it entered."""
    parents: Parents | None = None
    """What it is told of its parents; None: nothing new."""
    inherits: Urgency | None = None
    """What makes it more urgent than it was as it entered: jobs that still wait for it."""


class Waits(NamedTuple):
    """The job that entered at ``offset`` has to wait; for its row (note WAITING)."""

    offset: int
    on: str
    """As the table shows it: ``order``, ``parents``."""


class Skips(NamedTuple):
    """The job that entered at ``offset`` will never run here: SKIPPED."""

    offset: int
    reason: str


class Refuses(NamedTuple):
    """The job that entered at ``offset`` cannot be carried further: REFUSED."""

    offset: int
    reason: str


class Boosts(NamedTuple):
    """A job that has passed is waited for by a more urgent one: another copy of it goes on.

    The ledger lets only one copy run; where nothing more can be gained, the copy is refused there.
    """

    offset: int
    """Of the record with which the job entered."""
    inherits: Urgency
    n: int = 0
    """As with ``Passed``; it has been opened again by then."""
    parents: Parents | None = None


Effect = Passed | Waits | Skips | Refuses | Boosts


class UnknownGateRecordError(Exception):
    """A gate's log holds a record this version has no rule for; it must stop and not guess."""


def is_next(record: Record, next_offset: int) -> bool:
    """Whether a record is the next one of a log; False when it was taken before.

    Raises
    ------
    GateGapError
        Records before it were never given.
    """
    if record.offset > next_offset:
        raise GateGapError(
            f"{record.topic}/{record.partition} jumps from offset {next_offset} to {record.offset}; restart "
            "the service, it restores itself from the log. If records were deleted, drain and start a new "
            "epoch."
        )
    return record.offset == next_offset


class GateImage(Protocol):
    """The state of a gate fold at one offset; stays as it is while the fold goes on."""

    @property
    def next_offset(self) -> int:
        """The log is folded up to here, exclusive."""
        ...

    def keep_from(self) -> int:
        """Give the lowest offset of the log that whoever goes on from here may have to read.

        That of the oldest job that waits, else ``next_offset``.
        """
        ...

    def frames(self) -> Iterator[Frame]:
        """Give the state in small parts; works beside the event loop, in a thread."""
        ...


class GateFold(Protocol):
    """Fold of one partition of one gate's log."""

    def __init__(self, epoch: str) -> None: ...

    @property
    def gate(self) -> Gate:
        """Which gate this is."""
        ...

    @property
    def next_offset(self) -> int:
        """Offset of the first record not taken yet."""
        ...

    def take(self, record: Record) -> list[Effect]:
        """Fold one record; one taken before (by offset) changes nothing and has no effect.

        Raises
        ------
        GateGapError
            Records before it were never given.
        UnknownGateRecordError, msgspec.MsgspecError, ValueError
            It was not written by this version of Penstock.
        core.ledger.fold.WrongEpochError
            It is about a job of another incarnation of the topics.
        """
        ...

    def image(self) -> GateImage:
        """Give the state as it is now."""
        ...

    @classmethod
    def restored(cls, epoch: str, frames: Iterable[Frame]) -> Self:
        """Give the fold an image was taken of.

        Raises
        ------
        msgspec.MsgspecError, ValueError
            These are not its frames.
        """
        ...
