"""The law with one rule taken out of it, for each rule."""

from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

import msgspec
from typing_extensions import override

from core.gates.id_gate import Answer, IdGate, Passed, Submission
from core.keeper import Keeper, OpenClaim, OpenClaims, SendProbe, _Executor, _Standing
from core.lease import Lease, margin_s
from core.ledger.fold import LedgerFold
from core.ledger.open_job import Phase
from core.ledger.outcome import Outcome
from core.ledger.verdicts import Claimed, Decided, Succeeded
from core.log import NewRecord
from core.rows import JOB_GROUPS
from core.states import State
from penstock.worker.frames import JobOutcome
from schemas.codec import ledger_record
from services.dlq_handler.decide import Owed, Uncarried, carried_out, decision
from services.dlq_handler.handle import Handler
from services.executor.claim import Claimer
from services.executor.decide import Verdict
from services.executor.end import Closer
from services.executor.held import HeldJob, WaitingJob
from services.executor.start import Starter
from tests.model.executor import ROUTES
from tests.model.faults import Fault
from tests.model.laws import Beginning, Boot, Commit, Lapse, Rules, Sink, Start, Trim, Watchdog
from tests.model.oracle import Rule, Violation
from tests.model.walk import silence, walk


class UncheckedStarter(Starter):
    """Starts what the fold gives it, whatever became of the lease."""

    @override
    def _may_start(self, held: HeldJob) -> Verdict:
        job = held.job
        fold = self._folds.fold(held.partition)
        holds = fold.holds_claim(job.origin, job.n, self._leased.boot_id)
        is_wanted = not (fold.is_cancel_asked(job.origin) or self._workers.is_stopping)
        return Verdict.START if holds and is_wanted else Verdict.HAND_BACK


class ForgivingLease(Lease):
    """Goes on when a heartbeat is confirmed after all."""

    @override
    def confirm(self, sent_at_s: float, now_s: float) -> None:
        self.confirmed_at_s = max(sent_at_s, self.confirmed_at_s or sent_at_s)
        self.lapsed = False


class PatientLease(Lease):
    """Begins with the next heartbeat when the first was confirmed too late."""

    @override
    def confirm(self, sent_at_s: float, now_s: float) -> None:
        if self.confirmed_at_s is None and sent_at_s + self.lease_s - margin_s(self.lease_s) <= now_s:
            return
        super().confirm(sent_at_s, now_s)


class TrustingKeeper(Keeper):
    """Does not look at what heartbeats list."""

    @override
    def _is_let_go(self, known: _Executor, claim: OpenClaim) -> bool:
        return False


class ClockKeeper(Keeper):
    """Takes silence, as far as it has read, for the proof."""

    @override
    def probes_due(self, now_ms: int, claims: OpenClaims, partitions: Collection[int]) -> list[SendProbe]:
        for known in self._executors.values():
            if now_ms - known.heard_ms >= self._lease_ms:
                known.standing = _Standing.LAPSED
        return []


class LastClaimWins(LedgerFold):
    """Any claim of the dispatch that may run holds, not only the first."""

    @override
    def may_claim(self, origin: str, job_id: str, n: int) -> bool:
        job = self.open.get(origin)
        if job is not None and job.phase is Phase.CLAIMED and job.n == n:
            return True
        return super().may_claim(origin, job_id, n)


class DeafToCancels(LedgerFold):
    """Lets claims hold that stand after a cancel."""

    @override
    def may_claim(self, origin: str, job_id: str, n: int) -> bool:
        job = self.open.get(origin)
        if job is None and n == 1 and job_id in self._cancels:
            return True
        return super().may_claim(origin, job_id, n)


class LastDecisionWins(LedgerFold):
    """A later decision on the same dispatch replaces the first."""

    @override
    def _decide(self, verdict: Decided) -> Outcome:
        job = self.open.get(verdict.origin)
        if job is not None and job.phase is Phase.UNCLAIMED and job.n == verdict.n + 1:
            job.n, job.phase = verdict.n, Phase.CLOSED
        return super()._decide(verdict)


class AnyLateSuccess(LedgerFold):
    """A late success ends the job even when the next dispatch runs already."""

    def __init__(self, epoch: str) -> None:
        super().__init__(epoch)
        self._given_up: dict[str, Claimed] = {}

    @override
    def _claim(self, offset: int, timestamp_ms: int, verdict: Claimed) -> Outcome:
        job = self.open.get(verdict.origin)
        before = None if job is None or not job.late_success_n else job.claim
        outcome = super()._claim(offset, timestamp_ms, verdict)
        if outcome.holds and before is not None:
            self._given_up[verdict.origin] = before
        return outcome

    @override
    def _succeed(self, verdict: Succeeded) -> Outcome:
        job, before = self.open.get(verdict.origin), self._given_up.get(verdict.origin)
        if job is None or before is None or (before.n, before.executor) != (verdict.n, verdict.executor):
            return super()._succeed(verdict)
        return self._end(verdict.origin, job, State.SUCCEEDED, verdict.n, late=True)


class HastyHandler(Handler):
    """Carries its own decisions out at once, without reading which one holds."""

    @override
    async def _outputs(self, owed: Owed) -> list[NewRecord]:
        outputs: list[NewRecord] = []
        attempts = await self._attempts.get([item.source for item in owed.undecided])
        for item in owed.undecided:
            attempt = attempts[item.source]
            decided = decision(item, attempt, self._now_ms())
            outputs.append(ledger_record(ROUTES, decided))
            carried = Uncarried(decided, self._now_ms(), item.job, item.source, None)
            outputs.append(carried_out(carried, attempt, ROUTES, self._now_ms()))
        return outputs


class BlamingCloser(Closer):
    """Charges the job for a worker that ended with the lease."""

    @override
    async def _close(self, outcomes: list[JobOutcome]) -> None:
        await super()._close([_blamed(outcome) for outcome in outcomes])


def _blamed(outcome: JobOutcome) -> JobOutcome:
    if outcome.error_class != "lost" or outcome.collateral:
        return outcome
    return msgspec.structs.replace(outcome, error_class="transient")


class DroppingClaimer(Claimer):
    """Takes what its fold does not allow yet for what can never be allowed."""

    @override
    def _fits(self, waiting: WaitingJob, budget: dict[str, int]) -> bool:
        return self._may_claim_on(waiting.record.partition)


class OpenGate(IdGate):
    """Lets every record pass."""

    @override
    def ask(self, offset: int, submission: Submission) -> Answer:
        self.skip(offset)
        return Passed(submission.job_id)


class Ablation(NamedTuple):
    """A law without one rule, what must be seen to go wrong, and the fault that shows it soonest."""

    rules: Rules
    sees: frozenset[Rule]
    favourite: Fault | None = None


WALKS_MAX = 400
"""Walks after which a rule counts as not needed; the rarest violation shows in one of a hundred."""
FREE_GROUPS = tuple(group for group in JOB_GROUPS if group.key != "state_rank")
_LAW = Rules()
_DOUBLE = frozenset({Rule.RAN_TWICE, Rule.OVERLAP, Rule.UNCLAIMED, Rule.OVER, Rule.CANCELLED})
_OVERLAP = frozenset({Rule.OVERLAP})
_STUCK = frozenset({Rule.STUCK})
_TABLE = frozenset({Rule.TABLE})
_CARRIED = frozenset({Rule.UNDECIDED})
_CRASHED = frozenset({Rule.CRASHED})

ABLATIONS: dict[str, Ablation] = {
    "a claim is read back before its start": Ablation(replace(_LAW, start=Start.ACKNOWLEDGED), _DOUBLE),
    "the ledger is read to the end known at the read-back": Ablation(
        replace(_LAW, known_end=lambda _: 0), frozenset({Rule.CANCELLED}), Fault.CANCEL
    ),
    "the lease is checked at the start": Ablation(
        replace(_LAW, starter=UncheckedStarter), frozenset({Rule.UNLEASED}), Fault.MUTE
    ),
    "a lapse is final": Ablation(
        replace(_LAW, lapse=Lapse.REVIVED, lease=ForgivingLease),
        frozenset({Rule.OVERLAP, Rule.CHARGED}),
        Fault.LONG_STOP,
    ),
    "a first heartbeat confirmed too late ends its boot id": Ablation(
        replace(_LAW, lease=PatientLease), _OVERLAP, Fault.CRASH
    ),
    "every boot has its own id": Ablation(replace(_LAW, boot=Boot.STABLE_NAME), _OVERLAP),
    "a worker ends with its lease": Ablation(
        replace(_LAW, watchdog=Watchdog.PARENT_ALONE), _OVERLAP, Fault.LONG_STOP
    ),
    "a worker ends with its executor": Ablation(
        replace(_LAW, watchdog=Watchdog.LEASE_ALONE), _OVERLAP, Fault.CRASH
    ),
    "heartbeats list what is held": Ablation(replace(_LAW, keeper=TrustingKeeper), _STUCK, Fault.FORGET),
    "a loss is proven by a probe": Ablation(replace(_LAW, keeper=ClockKeeper), _OVERLAP, Fault.HANDLER_STOP),
    "a closure is the hand-over": Ablation(
        replace(_LAW, commit=Commit.BEFORE_OUTPUTS), _STUCK, Fault.HANDLER_CRASH
    ),
    "a handler begins at no snapshot beyond what is committed": Ablation(
        replace(_LAW, snapshot=Beginning.NEWEST), _STUCK, Fault.HANDLER_CRASH
    ),
    "a decision is read back before it is carried out": Ablation(
        replace(_LAW, handler=HastyHandler), _CARRIED
    ),
    "the first decision holds": Ablation(
        replace(_LAW, fold=LastDecisionWins), _TABLE | _CARRIED | _DOUBLE | {Rule.CRASHED}, Fault.REBALANCE
    ),
    "the first claim holds": Ablation(replace(_LAW, fold=LastClaimWins), _DOUBLE | _CARRIED | _TABLE),
    "a cancel blocks claims": Ablation(
        replace(_LAW, fold=DeafToCancels), _DOUBLE | _CARRIED | _TABLE, Fault.CANCEL
    ),
    "a success is late only while the next dispatch is unclaimed": Ablation(
        replace(_LAW, fold=AnyLateSuccess), _TABLE | _STUCK | _CARRIED | _DOUBLE, Fault.LAST_WORDS
    ),
    "a dispatch ahead of the fold waits": Ablation(replace(_LAW, claimer=DroppingClaimer), _STUCK, Fault.LAG),
    "a worker that ends with the lease is not the job's fault": Ablation(
        replace(_LAW, closer=BlamingCloser), frozenset({Rule.CHARGED}), Fault.MUTE
    ),
    "what open jobs may be read from again is not trimmed": Ablation(
        replace(_LAW, trim=Trim.COMMITTED_ALONE), _CRASHED
    ),
    "offsets are asked before the fold that trims": Ablation(replace(_LAW, trim=Trim.FOLD_FIRST), _CRASHED),
    "what is asked for is committed before anything is trimmed": Ablation(
        replace(_LAW, trim=Trim.UNSETTLED), _CRASHED, Fault.DRAIN
    ),
    "a state gives way only to a further one": Ablation(replace(_LAW, groups=FREE_GROUPS), _TABLE),
    "the table's position moves by compare-and-set": Ablation(replace(_LAW, sink=Sink.OVERWRITE), _TABLE),
    "the first record of a key is the job": Ablation(replace(_LAW, gate=OpenGate), frozenset({Rule.TWIN})),
}


def first_violation(rules: Rules, sees: Collection[Rule], favourite: Fault | None) -> Violation | None:
    """Walk until one of these rules is violated; None when none is. Other violations are its kin."""
    with silence():
        for seed in range(WALKS_MAX):
            try:
                walk(seed, rules, favourite=favourite)
            except Violation as violation:
                if violation.rule in sees:
                    return violation
    return None
