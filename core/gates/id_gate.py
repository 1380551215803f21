"""The *id* gate: which record of an id or idempotency key is the job, and which only repeats it.

A pure fold over one partition of ``jobs.gates``, of sets and not of counters: what it says of a
record depends on the log up to that record and on nothing else, however often it is asked.
"""

import struct
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from core.gates.key_table import KeyStore, KeyTable
from core.ledger.fold import WrongEpochError
from penstock.identity import Origin, job_id_from_repeat

_KEY_BYTES = 16
_STORED = struct.Struct(">HQQ8s")
"""Origin partition and offset, submission time (ms), body hash."""
KEY_BYTES, STORED_BYTES = _KEY_BYTES, _STORED.size
RENEWAL_BYTES = 400
"""Memory of one use of a key after its window, about."""


class Body(StrEnum):
    """How the body of a repeat compares with that of the job it repeats."""

    SAME = "same"
    DIFFERENT = "different"


class Submission(NamedTuple):
    """What the gate looks at.

    ``submitted_ms`` is the broker's append time in ``jobs``, not in ``jobs.gates``: a hand-over
    that is repeated after a crash gets a new time in ``jobs.gates``, and must not fall on the other
    side of the window for it.
    """

    job_id: str
    """The supplied id, or the one made from (tenant, idempotency_key)."""
    origin: str
    submitted_ms: int
    body_hash: str
    """16 hex digits."""
    tenant: str
    idempotency_key: str | None
    """None: the producer supplied the id."""


class Passed(NamedTuple):
    """The record is a job of its own, or the same hand-over once more; it goes on as ``job_id``."""

    job_id: str


class Repeat(NamedTuple):
    """The record names a job that is known; it does not run."""

    job_id: str
    first_origin: str
    body: Body


Answer = Passed | Repeat


class Passage(NamedTuple):
    """A record that passed as a job of its own: all that later questions are answered from."""

    offset: int
    """In ``jobs.gates``."""
    key: bytes
    """16 bytes of the id."""
    stored: bytes
    """``STORED_BYTES``: origin, submission time and body hash."""


class GateGapError(Exception):
    """Records of a gate are missing before one that was read; answering on would be guessing."""


class _Pass(NamedTuple):
    offset: int
    """In ``jobs.gates``; -1 for the first of a key, which is below every later question."""
    origin: Origin
    submitted_ms: int
    body_hash: bytes


class IdGate:
    """Fold of one partition of ``jobs.gates``.

    The first record of an id passes, and passes again whenever its hand-over is repeated (same
    origin). Another origin is a repeat. A repeat of an *idempotency key* submitted ``window_ms`` or
    more after the job that last passed is a new job, with an id made from key and origin; the
    window then runs from there. A *supplied id* can never be used again: it names one job for ever,
    since two jobs cannot share an id.

    Nothing is forgotten, not even after the window: the id made from a key may be used once only.
    Memory: see ``KeyTable``; keys used again after their window take about 400 bytes more each time.

    Parameters
    ----------
    window_ms
        Changing it changes what past repeats mean to whoever folds anew; no job runs twice for
        that (claims are by origin), but a repeat may be counted from another job.
    keys
        Where keys of ``KEY_BYTES`` with ``STORED_BYTES`` each are kept; in memory unless given.
    """

    def __init__(self, epoch: str, window_ms: int, keys: KeyStore | None = None) -> None:
        self._epoch = epoch
        self._window_ms = window_ms
        self._firsts = KeyTable(KEY_BYTES, STORED_BYTES) if keys is None else keys
        self._renewals: dict[bytes, list[_Pass]] = {}
        """Keys that passed more than once: all passes, the first included, in the log's order."""
        self._renewed = 0
        """Passes but the first of their keys."""
        self.next_offset = 0
        """Offset of the first record not folded yet."""
        self.told = 0
        """Every passage below this offset stands in the log of passages."""
        self._untold: list[Passage] = []

    def __len__(self) -> int:
        return len(self._firsts)

    @property
    def size_bytes(self) -> int:
        """Memory of the remembered keys, about."""
        return self._firsts.size_bytes + RENEWAL_BYTES * self._renewed

    def close(self) -> None:
        """Let go of the keys."""
        self._firsts.close()

    def untold(self, until: int) -> list[Passage]:
        """Give the passages from ``told`` on, below ``until``; with those told before, they are the fold."""
        return [passage for passage in self._untold if passage.offset < until]

    def tell(self, until: int) -> None:
        """Note that every passage below ``until`` stands in the log of passages now."""
        self.told = max(self.told, until)
        self._untold = [passage for passage in self._untold if passage.offset >= self.told]

    def learn(self, start: int, end: int, passages: Iterable[Passage]) -> None:
        """Go on from a stretch of the log of passages; what is known already changes nothing.

        Raises
        ------
        GateGapError
            The stretch begins further on than this fold has come.
        """
        if start > self.next_offset:
            raise GateGapError(
                f"the passages of a gate jump from offset {self.next_offset} to {start}: restore the topic "
                "of known keys, or drain and start a new epoch"
            )
        for passage in passages:
            if passage.offset >= self.next_offset:
                self._remember(passage)
        self.next_offset = max(self.next_offset, end)
        self.tell(end)

    def skip(self, offset: int) -> None:
        """Note that the record at ``offset`` has neither id nor key.

        Raises
        ------
        GateGapError
            Records before it were never given.
        """
        self._advance(offset)

    def ask(self, offset: int, submission: Submission) -> Answer:
        """Say what the record at ``offset`` is, folding it if it is the next one.

        A record folded before gets the answer it got then.

        Raises
        ------
        GateGapError
            Records before it were never given; the service stops and starts over from the log.
        core.ledger.fold.WrongEpochError
            The topics were recreated under a running service.
        """
        self._advance(offset)
        origin = Origin.parse(submission.origin)
        if origin.epoch != self._epoch:
            raise WrongEpochError(
                f"a gate record names origin {submission.origin}, but this service runs on epoch "
                f"{self._epoch}: the topics were recreated or the service points at another cluster"
            )
        key = bytes.fromhex(submission.job_id.replace("-", ""))
        passes = self._passes(key)
        if not passes:
            return self._pass_first(key, offset, origin, submission)
        for number, passed in enumerate(passes):
            if passed.origin == origin:
                return Passed(_id_of_pass(number, passed, submission))
        number = max(i for i, passed in enumerate(passes) if passed.offset <= offset)
        if self._is_new(passes[number], submission):
            return self._pass_again(key, passes, offset, origin, submission)
        known = passes[number]
        body = Body.SAME if known.body_hash.hex() == submission.body_hash else Body.DIFFERENT
        return Repeat(_id_of_pass(number, known, submission), str(known.origin), body)

    def _advance(self, offset: int) -> None:
        if offset > self.next_offset:
            raise GateGapError(
                f"the gate jumps from offset {self.next_offset} to {offset}; restart the service, it "
                "restores itself from the log. If the log's start was deleted, known keys are lost: "
                "restore the topic, or drain and start a new epoch."
            )
        self.next_offset = max(self.next_offset, offset + 1)

    def _passes(self, key: bytes) -> list[_Pass]:
        renewed = self._renewals.get(key)
        if renewed is not None:
            return renewed
        stored = self._firsts.get(key)
        if stored is None:
            return []
        partition, offset, submitted_ms, body_hash = _STORED.unpack(stored)
        return [_Pass(-1, Origin(self._epoch, partition, offset), submitted_ms, body_hash)]

    def _is_new(self, last: _Pass, submission: Submission) -> bool:
        if submission.idempotency_key is None:
            return False
        return submission.submitted_ms - last.submitted_ms >= self._window_ms

    def _pass_first(self, key: bytes, offset: int, origin: Origin, submission: Submission) -> Passed:
        self._pass(key, offset, origin, submission)
        return Passed(submission.job_id)

    def _pass_again(
        self, key: bytes, passes: list[_Pass], offset: int, origin: Origin, submission: Submission
    ) -> Passed:
        passed = self._pass(key, offset, origin, submission)
        return Passed(_id_of_pass(len(passes), passed, submission))

    def _pass(self, key: bytes, offset: int, origin: Origin, submission: Submission) -> _Pass:
        body_hash = bytes.fromhex(submission.body_hash)
        stored = _STORED.pack(origin.partition, origin.offset, submission.submitted_ms, body_hash)
        passage = Passage(offset, key, stored)
        self._untold.append(passage)
        self._remember(passage)
        return _Pass(offset, origin, submission.submitted_ms, body_hash)

    def _remember(self, passage: Passage) -> None:
        passes = self._passes(passage.key)
        if not passes:
            self._firsts.put(passage.key, passage.stored)
            return
        partition, offset, submitted_ms, body_hash = _STORED.unpack(passage.stored)
        origin = Origin(self._epoch, partition, offset)
        self._renewed += 1
        self._renewals[passage.key] = [*passes, _Pass(passage.offset, origin, submitted_ms, body_hash)]


def _id_of_pass(number: int, passed: _Pass, submission: Submission) -> str:
    """Give the id of a pass: the first has the id of the key, later ones one of key and origin."""
    if number == 0 or submission.idempotency_key is None:
        return submission.job_id
    return job_id_from_repeat(submission.tenant, submission.idempotency_key, passed.origin)
