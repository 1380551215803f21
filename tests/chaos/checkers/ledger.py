"""I6, I12: verdicts that hold form a legal path, another reading of the law agrees, retries are bounded."""

import math
from collections import defaultdict
from collections.abc import Iterator

from core.ledger.notes import Accepted
from core.ledger.verdicts import Action, Decided, Failed, Lost, Released, Verdict
from core.retry import CIRCUIT_POLICY, FLOOR_S, HAND_BACK_CAP_S
from core.states import State
from schemas.ledger import FoldedEvent
from tests.chaos.case import Case, overtook
from tests.chaos.evidence import Clocks, Evidence, Violation
from tests.support.naive_fold import NaiveJob
from tests.support.transitions import LEGAL

FAILED_CAP_S = 2.0
"""Of every task of the chaos app."""
LOST_CAP_S = 1.0
LAST_TRY_S = 3.0
"""What the last try of a job waits at least, while circuits are on; see docs/circuits.md."""
CLOCK_SLACK_S = 0.5
"""How far a service's estimate of the broker's time may be off."""


def paths_are_legal(case: Case, _evidence: Evidence) -> Iterator[Violation]:
    """Ask that every state may follow the one before and ranks higher."""
    before: dict[str, tuple[State, int]] = defaultdict(lambda: (State.ACCEPTED, 0))
    known = ""
    for event, verdict, outcome in case.verdicts:
        origin = known = verdict.origin or known
        if outcome.state is None or overtook(verdict, outcome):
            continue
        state, rank = before[origin]
        place = f"job {case.job_id}: {state} to {outcome.state} by {_text(event)}"
        if outcome.state not in LEGAL[state]:
            yield Violation("I6", "a verdict that holds made an illegal transition", place)
        is_hold_again = state is outcome.state is State.HELD
        if outcome.rank <= rank and not is_hold_again:
            yield Violation("I6", f"a verdict that holds ranks {outcome.rank} after {rank}", place)
        before[origin] = (outcome.state, outcome.rank)


def another_reading_agrees(case: Case, _evidence: Evidence) -> Iterator[Violation]:
    """Ask the naive reading of the law, which shares no code with the fold, which verdicts hold."""
    jobs: dict[str, NaiveJob] = defaultdict(NaiveJob)
    known = ""
    for event in case.events:
        outcome = event.outcome
        if outcome is None or not isinstance(event.event, Verdict):
            continue
        if outcome.holds and overtook(event.event, outcome):
            if not known:
                return  # Ended before it began; the naive reading knows no waiting cancels.
            continue
        origin = known = event.event.origin or known
        if jobs[origin].take(event.event) != outcome.holds:
            said = "holds" if outcome.holds else "is refused"
            what = f"a verdict that {said} does not in another reading of the law"
            yield Violation("I6", what, f"job {case.job_id}: {_text(event)}")
            return


def retries_are_bounded(case: Case, evidence: Evidence) -> Iterator[Violation]:
    """Ask that no more attempts failed than may, and that every wait is within its bounds."""
    limit, failures = _limit(case), _counted_failures(case)
    if failures > limit:
        yield Violation("I12", f"{failures} attempts failed of at most {limit:g}", f"job {case.job_id}")
    if evidence.clocks is Clocks.BROKER_JUMPS:
        return
    for event, verdict, _ in case.verdicts:
        if isinstance(verdict, Decided) and verdict.action is Action.RETRY:
            yield from _is_bounded(case, event, verdict)


def _is_excuse(decided: Decided) -> bool:
    return decided.policy == CIRCUIT_POLICY and decided.action is Action.RETRY


def _limit(case: Case) -> float:
    """Give how many attempts may fail; without bound where nobody saw the job accepted."""
    limits = (event.event.max_attempts for event in case.events if isinstance(event.event, Accepted))
    return next(limits, math.inf)


def _counted_failures(case: Case, until_n: float = math.inf) -> int:
    """Give how many failures up to dispatch ``until_n`` count: those that no circuit excused."""
    verdicts = [verdict for _, verdict, _ in case.verdicts]
    failed = sum(isinstance(one, Failed) and one.n <= until_n for one in verdicts)
    return failed - sum(isinstance(one, Decided) and one.n <= until_n and _is_excuse(one) for one in verdicts)


def _is_bounded(case: Case, event: FoldedEvent, decided: Decided) -> Iterator[Violation]:
    closure = case.closures.get(decided.n)
    if closure is None:
        return
    low_s, high_s = _bounds_s(closure[1])
    if _counted_failures(case, decided.n) + 1 >= _limit(case):
        high_s = max(high_s, LAST_TRY_S)
    since_closure_s = ((decided.due_ms or 0) - closure[0].timestamp_ms) / 1000
    since_decision_s = ((decided.due_ms or 0) - event.timestamp_ms) / 1000
    place = f"job {case.job_id}, dispatch {decided.n}, {decided.reason}"
    if since_closure_s < low_s - CLOCK_SLACK_S:
        yield Violation("I12", f"a retry is due {since_closure_s:.2f} s after its closure", place)
    if since_decision_s > high_s + CLOCK_SLACK_S:
        yield Violation("I12", f"a retry is due {since_decision_s:.2f} s after its decision", place)


def _bounds_s(closure: Verdict) -> tuple[float, float]:
    match closure:
        case Failed():
            return FLOOR_S, FAILED_CAP_S
        case Lost():
            return 0.0, LOST_CAP_S
        case Released():
            return 0.0, HAND_BACK_CAP_S
        case _:
            return 0.0, float("inf")


def _text(event: FoldedEvent) -> str:
    return f"{type(event.event).__name__} at {event.partition}/{event.offset}"
