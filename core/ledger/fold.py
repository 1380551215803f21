"""The fold: which verdicts of one ledger partition hold. The same code for every service.

First wins, by offset. The state after a prefix of the log is a pure function of that prefix, so
every reader, at any time, after any restart, agrees. Notes are not folded: they never change state.
"""

from collections.abc import Collection
from copy import copy
from typing import Self, assert_never

from core.ledger.finished import FinishedJobs
from core.ledger.image import CancelMark, LedgerImage
from core.ledger.open_job import OpenJob, Phase
from core.ledger.outcome import REFUSED, Outcome, reopened
from core.ledger.verdicts import (
    Action,
    Cancel,
    Claimed,
    Closure,
    Decided,
    Expired,
    Failed,
    Lost,
    Preempted,
    Redriven,
    Refused,
    Released,
    Skipped,
    Succeeded,
    Verdict,
)
from core.states import State, progress_rank
from penstock.identity import Origin

FOLD_VERSION = 1
"""Raised whenever a rule of this file changes; two versions that disagree on "first" run a job twice.

From 2 on the rules of every earlier version stay in this file and hold up to the record ``FOLD`` that
announces the next one (``LedgerFold.version``), so every reader changes rules at the same offset.
"""
FIRST_FOLD_VERSION = 1
"""The rules a ledger begins with; a record says when others hold."""

CANCEL_KEEP_MS = 86_400_000
"""How long a cancel that names no origin waits for its job, in broker time of the ledger."""

WORKER_DEATH = frozenset({"WorkerDied", "MemoryLimitExceeded"})
"""``error_type`` values that mean the attempt took its worker process down."""


class WrongEpochError(Exception):
    """A record of another incarnation of the topics; the service must stop, not guess."""


class NewerFoldVersionError(Exception):
    """The ledger goes on under rules this version does not have; folding on would be guessing."""


class LedgerFold:
    """Fold of one partition of ``jobs.events``.

    Memory: a few bits per finished job, and one ``OpenJob`` per job that was claimed (or pre-empted) and
    has not ended. Jobs that only wait cost nothing.
    """

    def __init__(self, epoch: str) -> None:
        self.epoch = epoch
        self.next_offset = 0
        """Offset of the first ledger record not folded yet."""
        self.open: dict[str, OpenJob] = {}
        """By origin text."""
        self.version = FIRST_FOLD_VERSION
        """Of the rules that hold from ``next_offset`` on."""
        self._finished = FinishedJobs()
        self._cancels: dict[str, CancelMark] = {}
        """By job id, oldest first."""
        self._by_job_id: dict[str, str] = {}
        self._shared: set[str] = set()
        """Origins whose ``OpenJob`` the latest image shows too, so it is copied before it changes."""

    @classmethod
    def from_image(cls, image: LedgerImage) -> Self:
        """Give the fold that was pictured; it takes over what the image holds."""
        fold = cls(image.epoch)
        fold.next_offset = image.next_offset
        fold.version = image.version
        fold.open = image.open
        fold._finished = image.finished
        fold._cancels = image.cancels
        fold._by_job_id = image.by_job_id
        return fold

    def image(self) -> LedgerImage:
        """Give the state as it is now; it stays so while the fold goes on.

        Bitmaps are copied, open jobs only when they change afterwards: about 20 ms for ten million
        finished and 100,000 open jobs.
        """
        self._shared = set(self.open)
        return LedgerImage(
            epoch=self.epoch,
            next_offset=self.next_offset,
            version=self.version,
            finished=self._finished.copy(),
            cancels=dict(self._cancels),
            open=dict(self.open),
            by_job_id=dict(self._by_job_id),
        )

    def announce(self, offset: int, version: int) -> None:
        """Fold the record at ``offset`` that says the rules of ``version`` hold from here on.

        Raises
        ------
        NewerFoldVersionError
            This code has no such rules; the service stops, a newer one goes on.
        """
        if offset < self.next_offset:
            return
        if version > FOLD_VERSION:
            raise NewerFoldVersionError(
                f"from offset {offset} on this ledger partition is folded by version {version}, this is "
                f"{FOLD_VERSION}: run a Penstock that has version {version}"
            )
        self.next_offset = offset + 1
        self.version = max(self.version, version)

    def is_done(self, origin: str) -> bool:
        """Whether the job of this origin has ended."""
        return self._parse(origin) in self._finished

    def may_claim(self, origin: str, job_id: str, n: int) -> bool:
        """Whether a claim of dispatch ``n`` appended right now would hold, as far as folded."""
        job = self.open.get(origin)
        if job is not None:
            return job.phase is Phase.UNCLAIMED and job.n == n and not job.cancel_asked
        return n == 1 and job_id not in self._cancels and not self.is_done(origin)

    def is_behind(self, origin: str, n: int) -> bool:
        """Whether dispatch ``n`` rests on a decision or a redrive that was not folded yet.

        A claim of it does not hold as far as folded, and may all the same hold later.
        """
        job = self.open.get(origin)
        if job is not None:
            return n > job.n
        place = self._parse(origin)
        return self._finished.may_reopen(place, n) if place in self._finished else n > 1

    def holds_claim(self, origin: str, n: int, executor: str) -> bool:
        """Whether dispatch ``n`` is claimed by this boot id and not closed, as far as folded."""
        job = self.open.get(origin)
        if job is None or job.phase is not Phase.CLAIMED or job.n != n:
            return False
        return job.claim is not None and job.claim.executor == executor

    def is_cancel_asked(self, origin: str) -> bool:
        """Whether a cancel stands against a job that is still open."""
        job = self.open.get(origin)
        return job is not None and job.cancel_asked

    @property
    def cancelled_ahead(self) -> Collection[str]:
        """Ids of jobs that a cancel waits for which found none of them open."""
        return self._cancels.keys()

    @property
    def finished_jobs(self) -> int:
        """Jobs that have ended on this partition."""
        return len(self._finished)

    def apply(self, offset: int, timestamp_ms: int, verdict: Verdict) -> Outcome:
        """Fold the verdict that stands at ``offset``; offsets must not go back.

        An offset below ``next_offset`` was folded before and is refused without effect, so any
        repetition of a prefix gives the same state.

        Raises
        ------
        WrongEpochError
            The verdict's origin belongs to another incarnation of the topics. A cancel that names such
            an origin is refused: it is no service's word.
        """
        if offset < self.next_offset:
            return REFUSED
        self.next_offset = offset + 1
        self._forget_cancels(timestamp_ms)
        match verdict:
            case Claimed():
                return self._claim(offset, timestamp_ms, verdict)
            case Succeeded():
                return self._succeed(verdict)
            case Failed() | Lost() | Released():
                return self._close(verdict)
            case Decided():
                return self._decide(verdict)
            case _:
                return self._apply_rare(offset, timestamp_ms, verdict)

    def _apply_rare(
        self,
        offset: int,
        timestamp_ms: int,
        verdict: Preempted | Cancel | Expired | Skipped | Refused | Redriven,
    ) -> Outcome:
        match verdict:
            case Preempted():
                return self._preempt(verdict)
            case Cancel():
                return self._cancel(offset, timestamp_ms, verdict)
            case Expired():
                return self._end_unclaimed(verdict, State.EXPIRED)
            case Skipped():
                return self._end_unclaimed(verdict, State.SKIPPED)
            case Refused():
                return self._end_unclaimed(verdict, State.REFUSED)
            case Redriven():
                return self._redrive(verdict)
            case _:
                assert_never(verdict)

    def skip_to(self, offset: int) -> None:
        """Note that everything below ``offset`` was read (notes and control records included)."""
        self.next_offset = max(self.next_offset, offset)

    def pass_by(self, timestamp_ms: int) -> None:
        """Let a verdict pass that concerns no job of this fold; cancels count its time all the same."""
        self._forget_cancels(timestamp_ms)

    def _parse(self, origin: str) -> Origin:
        place = Origin.parse(origin)
        if place.epoch != self.epoch:
            raise WrongEpochError(
                f"a record names origin {origin}, but this service runs on epoch {self.epoch}: "
                "the topics were recreated or the service points at another cluster"
            )
        return place

    def _refuse(self, origin: str) -> Outcome:
        """Refuse a verdict of a service, which knows of no job but those of this epoch."""
        if origin not in self.open:
            self._parse(origin)
        return REFUSED

    def _claim(self, offset: int, timestamp_ms: int, verdict: Claimed) -> Outcome:
        if not self.may_claim(verdict.origin, verdict.job_id, verdict.n):
            return self._refuse(verdict.origin)
        job = self._owned(verdict.origin)
        if job is None:
            job = self._open(verdict.origin, verdict.job_id)
        job.phase = Phase.CLAIMED
        job.claim = verdict
        job.claim_ledger_offset = offset
        job.claim_timestamp_ms = timestamp_ms
        job.late_success_n = 0
        return self._progress(job, State.RUNNING)

    def _succeed(self, verdict: Succeeded) -> Outcome:
        job = self._owned(verdict.origin)
        if job is None:
            return self._refuse(verdict.origin)
        if self._is_open_claim(job, verdict):
            job.closure = verdict
            return self._end(verdict.origin, job, State.SUCCEEDED, verdict.n)
        if job.late_success_n == verdict.n and self._is_by_claimant(job, verdict):
            job.closure = verdict
            return self._end(verdict.origin, job, State.SUCCEEDED, verdict.n, late=True)
        return REFUSED

    def _close(self, verdict: Failed | Lost | Released) -> Outcome:
        job = self._owned(verdict.origin)
        if job is None or not self._is_open_claim(job, verdict):
            return self._refuse(verdict.origin)
        job.closure = verdict
        match verdict:
            case Failed():
                job.failures += 1
                job.worker_deaths += verdict.error_type in WORKER_DEATH
            case Lost():
                job.losses += 1
                job.late_success_n = verdict.n
            case Released():
                job.late_success_n = verdict.n
            case _:
                assert_never(verdict)
        if job.cancel_asked:
            return self._end(verdict.origin, job, State.CANCELLED, verdict.n)
        job.phase = Phase.CLOSED
        return self._progress(job, State.RETRYING, closed_n=verdict.n)

    def _decide(self, verdict: Decided) -> Outcome:
        job = self._owned(verdict.origin)
        if job is None or job.n != verdict.n or job.phase not in (Phase.CLOSED, Phase.HELD):
            return self._refuse(verdict.origin)
        match verdict.action:
            case Action.HOLD:
                if job.phase is Phase.HELD:
                    return REFUSED
                job.phase = Phase.HELD
                return self._progress(job, State.HELD)
            case Action.DEAD:
                return self._end(verdict.origin, job, State.DEAD, 0)
            case Action.RETRY:
                job.phase = Phase.UNCLAIMED
                job.n = verdict.n + 1
                job.due_ms = verdict.due_ms or 0
                return reopened(job)
            case _:
                assert_never(verdict.action)

    def _preempt(self, verdict: Preempted) -> Outcome:
        if not self.may_claim(verdict.origin, verdict.job_id, verdict.n):
            return self._refuse(verdict.origin)
        job = self._owned(verdict.origin)
        if job is None:
            job = self._open(verdict.origin, verdict.job_id)
        job.phase = Phase.CLOSED
        job.preempted = verdict
        job.late_success_n = 0
        return self._progress(job, State.HELD)

    def _cancel(self, offset: int, timestamp_ms: int, verdict: Cancel) -> Outcome:
        origin = self._by_job_id.get(verdict.job_id) or verdict.origin
        job = self._owned(origin) if origin else None
        if origin and Origin.parse(origin).epoch != self.epoch:
            # Anybody may hold an old origin and ask for this; it must not stop the services.
            return REFUSED
        if job is not None:
            if job.phase is Phase.CLAIMED:
                job.cancel_asked = True
                return Outcome(holds=True, job=job)
            return self._end(origin, job, State.CANCELLED, 0)
        if origin and self.is_done(origin):
            return REFUSED
        self._cancels.setdefault(verdict.job_id, CancelMark(offset, timestamp_ms))
        if origin:
            self._finished.failed(self._parse(origin), 1)
        return Outcome(holds=True, state=State.CANCELLED, rank=progress_rank(State.CANCELLED, 1))

    def _end_unclaimed(self, verdict: Expired | Skipped | Refused, state: State) -> Outcome:
        """End a job nobody ever claimed: what has started once is decided by its closures."""
        if verdict.origin in self.open or self.is_done(verdict.origin):
            return REFUSED
        if verdict.job_id in self._cancels:
            return REFUSED
        self._finished.failed(self._parse(verdict.origin), 1)
        return Outcome(holds=True, state=state, rank=progress_rank(state, 1))

    def _redrive(self, verdict: Redriven) -> Outcome:
        """Open a job again that ended without success, once per ended dispatch."""
        if not self._finished.reopen(self._parse(verdict.origin), verdict.n):
            return REFUSED
        self._cancels.pop(verdict.job_id, None)
        job = self._open(verdict.origin, verdict.job_id)
        job.n = verdict.n
        return reopened(job)

    @staticmethod
    def _is_by_claimant(job: OpenJob, closure: Closure) -> bool:
        return job.claim is not None and job.claim.executor == closure.executor

    def _is_open_claim(self, job: OpenJob, closure: Closure) -> bool:
        claimed = job.phase is Phase.CLAIMED and job.n == closure.n
        return claimed and self._is_by_claimant(job, closure)

    def _open(self, origin: str, job_id: str) -> OpenJob:
        job = OpenJob(job_id)
        self.open[origin] = job
        self._by_job_id[job_id] = origin
        return job

    def _progress(self, job: OpenJob, state: State, closed_n: int = 0) -> Outcome:
        return Outcome(holds=True, state=state, rank=progress_rank(state, job.n), job=job, closed_n=closed_n)

    def _end(self, origin: str, job: OpenJob, state: State, closed_n: int, *, late: bool = False) -> Outcome:
        del self.open[origin]
        self._shared.discard(origin)
        self._by_job_id.pop(job.job_id, None)
        if state is State.SUCCEEDED:
            self._finished.succeeded(self._parse(origin))
        else:
            self._finished.failed(self._parse(origin), job.n)
        rank = progress_rank(state, job.n)
        return Outcome(holds=True, state=state, rank=rank, job=job, closed_n=closed_n, late=late)

    def _owned(self, origin: str) -> OpenJob | None:
        """Give an open job to change, apart from the image that may still show it."""
        job = self.open.get(origin)
        if job is not None and origin in self._shared:
            self._shared.discard(origin)
            job = self.open[origin] = copy(job)
        return job

    def _forget_cancels(self, now_ms: int) -> None:
        """Drop cancels that waited long enough, by the log's own times: every reader drops the same."""
        while self._cancels:
            job_id, mark = next(iter(self._cancels.items()))
            if now_ms - mark.timestamp_ms < CANCEL_KEEP_MS:
                return
            del self._cancels[job_id]
