"""Following the ledger for gated jobs alone: when one has ended, its gates are told."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, Self

import msgspec

from core.frames import Frame
from core.gates.ended import Ended
from core.ledger.fold import LedgerFold, NewerFoldVersionError
from core.ledger.image import LedgerImage
from core.ledger.notes import Accepted
from core.ledger.snapshot import fold_of, frames_of
from core.ledger.verdicts import Cancel, Redriven
from core.log import Record
from core.states import TERMINAL, State
from schemas.codec import (
    FOLD_KIND,
    VERDICT_KINDS,
    UnreadableRecordError,
    decode_fold_version,
    decode_if_verdict,
)
from schemas.gate_keys import GATES_HEADER, GateKeys, decode_keys
from schemas.ledger import LedgerGapError

LAYOUT = 1
SLICE = 500
"""Jobs encoded in one go, which no other thread can interrupt: under a millisecond."""
_ACCEPTED = str(Accepted.__struct_config__.tag).encode()
_CANCEL = str(Cancel.__struct_config__.tag).encode()
_REDRIVEN = str(Redriven.__struct_config__.tag).encode()


class GatedJob(NamedTuple):
    """A gated job that has not ended."""

    origin: bytes
    keys: bytes
    """A ``GateKeys``, as its header says."""


class GatedEnd(NamedTuple):
    """A gated job has ended: what its gates are to be told."""

    keys: GateKeys
    ended: Ended


class _Start(msgspec.Struct, frozen=True, tag="gated", tag_field="frame"):
    layout: int
    next_offset: int


class _Jobs(msgspec.Struct, frozen=True, tag="jobs", tag_field="frame"):
    jobs: list[tuple[str, str, str]]


_encode = msgspec.json.Encoder().encode
_decode_start = msgspec.json.Decoder(_Start).decode
_decode_jobs = msgspec.json.Decoder(_Jobs).decode


@dataclass(frozen=True)
class GatedImage:
    """What is known of the gated jobs of one ledger partition at one offset."""

    next_offset: int
    jobs: dict[bytes, GatedJob]
    ledger: LedgerImage

    def keep_from(self) -> int:
        """Give the first ledger offset that whoever goes on from here reads."""
        return self.next_offset

    def frames(self) -> Iterator[Frame]:
        """Give the state in small frames."""
        yield _encode(_Start(LAYOUT, self.next_offset)), b""
        jobs = iter(self.jobs.items())
        while some := [(key.decode(), job[0].decode(), job[1].decode()) for key, job in islice(jobs, SLICE)]:
            yield _encode(_Jobs(some)), b""
        # Also without jobs: one frame says where the ledger's begin.
        yield _encode(_Jobs([])), b""
        yield from frames_of(self.ledger)


class GatedJobs:
    """Fold of one partition of ``jobs.events`` that knows gated jobs alone.

    The ACCEPTED of a gated job precedes every verdict about it but a cancel, and names its gates in a
    header. So other records are passed over by their headers, unparsed: about a microsecond each. What is
    folded are the verdicts of gated jobs, and all cancels; whether they hold is said by the same rules as
    everywhere.

    Memory: about 350 bytes for each gated job that has not ended, and what ``LedgerFold`` takes for those.
    """

    def __init__(self, epoch: str, partition: int) -> None:
        self._partition = partition
        self._fold = LedgerFold(epoch)
        self._jobs: dict[bytes, GatedJob] = {}
        """By job id, which is the key of every ledger record."""
        self._next_offset = 0

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def next_offset(self) -> int:
        """Offset of the first ledger record not taken yet."""
        return self._next_offset

    def job_ids(self) -> list[str]:
        """Name the gated jobs that have not ended."""
        return [key.decode() for key in self._jobs]

    def begin_at(self, offset: int) -> None:
        """Begin where the ledger begins: there was no gated job before."""
        self._next_offset = max(self._next_offset, offset)

    def take(self, record: Record) -> GatedEnd | None:
        """Fold one record of the ledger; give the end of a gated job if it is one.

        Raises
        ------
        schemas.ledger.LedgerGapError
            Records before it were never given.
        core.ledger.fold.WrongEpochError
            The topics were recreated under a running service.
        schemas.codec.UnreadableRecordError
            The ledger goes on under rules of a newer version.
        """
        if record.offset < self._next_offset:
            return None
        if record.offset > self._next_offset:
            raise LedgerGapError(
                f"ledger partition {record.partition} jumps from {self._next_offset} to {record.offset}; "
                "restart the service, it restores itself from the log"
            )
        self._next_offset = record.offset + 1
        kind = record.header("kind")
        if kind == _ACCEPTED:
            keys = record.header(GATES_HEADER)
            return None if keys is None else self._open(record, keys)
        if kind in VERDICT_KINDS:
            return self._verdict(record, kind or b"")
        if kind == FOLD_KIND:
            self._announce(record)
        return None

    def _open(self, record: Record, keys: bytes) -> GatedEnd | None:
        key, origin = record.key or b"", record.header("origin") or b""
        if key in self._jobs:
            return None
        if self._fold.may_claim(origin.decode(), key.decode(), 1):
            self._jobs[key] = GatedJob(origin, keys)
            return None
        # A cancel came first. Or the note is repeated, and its gates, told again, know the true end.
        return self._end(record, GatedJob(origin, keys), 1, State.CANCELLED)

    def _verdict(self, record: Record, kind: bytes) -> GatedEnd | None:
        key = record.key or b""
        job = self._jobs.get(key)
        if job is None and kind == _REDRIVEN:
            job = self._opened_again(record)
        if job is None and kind != _CANCEL:
            self._fold.pass_by(record.timestamp_ms)
            return None
        verdict = decode_if_verdict(record)
        if verdict is None:
            return None
        outcome = self._fold.apply(record.offset, record.timestamp_ms, verdict)
        if kind == _REDRIVEN and job is not None and outcome.holds:
            self._jobs[key] = job
        if job is None or not outcome.holds or outcome.state not in TERMINAL:
            return None
        self._jobs.pop(key, None)
        return self._end(record, job, outcome.job.n if outcome.job else 1, outcome.state)

    def _opened_again(self, record: Record) -> GatedJob | None:
        keys = record.header(GATES_HEADER)
        return None if keys is None else GatedJob(record.header("origin") or b"", keys)

    def _end(self, record: Record, job: GatedJob, n: int, state: State) -> GatedEnd:
        job_id = (record.key or b"").decode()
        keys = decode_keys(job.keys)
        ended = Ended(
            job.origin.decode(),
            job_id,
            n,
            state,
            self._partition,
            record.offset,
            tenant=keys.tenant,
            workflow_id=keys.workflow_id,
        )
        return GatedEnd(keys, ended)

    def _announce(self, record: Record) -> None:
        self._fold.skip_to(record.offset)
        try:
            self._fold.announce(record.offset, decode_fold_version(record).version)
        except NewerFoldVersionError as error:
            raise UnreadableRecordError(f"{record.topic}/{record.partition}: {error}") from error

    def image(self) -> GatedImage:
        """Give the state as it is now; it stays so while the fold goes on."""
        self._fold.skip_to(self._next_offset)
        return GatedImage(self._next_offset, dict(self._jobs), self._fold.image())

    @classmethod
    def restored(cls, epoch: str, partition: int, frames: Iterable[Frame]) -> Self:
        """Give the fold an image was taken of.

        Raises
        ------
        core.ledger.snapshot.BrokenSnapshotError, msgspec.MsgspecError, ValueError
            These are not its frames.
        """
        rest = iter(frames)
        gated = cls(epoch, partition)
        start = _decode_start(next(rest, (b"", b""))[0])
        if start.layout != LAYOUT:
            raise ValueError(f"gated jobs of layout {start.layout}; this version reads {LAYOUT}")
        gated._next_offset = start.next_offset
        for head, _ in rest:
            jobs = _decode_jobs(head).jobs
            if not jobs:
                break
            gated._jobs |= {key.encode(): GatedJob(o.encode(), k.encode()) for key, o, k in jobs}
        gated._fold = fold_of(rest)
        return gated
