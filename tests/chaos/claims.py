"""What single scenarios promise beyond the invariants, as pure functions of the evidence."""

from collections.abc import Iterator
from typing import NamedTuple

from core.ledger.verdicts import Action, Claimed, Decided, Failed, Lost, Succeeded
from core.states import TERMINAL, State
from schemas.ledger import FoldedEvent
from tests.chaos.case import Case
from tests.chaos.evidence import Evidence, Violation
from tests.chaos.orders import Kind

LOOP_BLOCKED = "event loop blocked"
EVICTED = "evicted"
HANDLER_BLOCKED = "handler blocks its worker"
DECIDER_AWAY = "dlq_handler away"
DUE_KILLED = "scheduler killed between due and produce"
MIXED_DOWN = "both versions, on the way down"
MIXED_UP = "both versions, on the way up"
UNCONFIRMED_S = 1.5
"""What may lie between the sending of a heartbeat, where a lease begins, and its place in the log."""
SETTLE_MS = 1000
"""What was on its way when a fault began may still come out so long."""


class Span(NamedTuple):
    """Part of the run, wall clock in milliseconds."""

    begin_ms: int
    end_ms: int

    def has(self, at_ms: int | None) -> bool:
        """Whether a time lies in it."""
        return at_ms is not None and self.begin_ms <= at_ms <= self.end_ms


def span_of(evidence: Evidence, fault: str) -> Span | None:
    """Give from when to when a fault lasted; None: it was never done."""
    lines = [line for line in evidence.history if line.what == fault]
    begins = [line.at_ms for line in lines if line.event == "fault"]
    heals = [line.at_ms for line in lines if line.event == "heal"]
    return Span(begins[0], heals[-1]) if begins and heals else None


def nobody_is_lost(evidence: Evidence) -> list[Violation]:
    """Ask that no attempt was closed as lost whose executor spoke within every lease.

    On a machine that has no time for it, an executor may be silent for longer than the fault made it.
    """
    enough_s = evidence.lease_s - UNCONFIRMED_S
    found: list[Violation] = []
    for case in evidence.cases():
        for _, verdict, _ in case.verdicts:
            if not isinstance(verdict, Lost):
                continue
            claim = case.claims.get(verdict.n)
            executor = claim[1].executor if claim is not None else ""
            silent_s = evidence.silences_s.get(executor, 0.0)
            if silent_s < enough_s:
                place = f"job {case.job_id}: {verdict}; {executor} was silent for {silent_s:.1f} s at most"
                found.append(broken("an attempt was lost although no lease ended", place))
    return found


def no_service_ended(evidence: Evidence) -> list[Violation]:
    """Ask that no service ended without being asked to."""
    return [
        broken("a service ended", f"{line.what}: {line.detail}")
        for line in evidence.history
        if line.event == "note" and line.what.endswith(" ended")
    ]


def done_but_not_closed_is_lost_and_done_once_more(evidence: Evidence) -> list[Violation]:
    """Ask that work which ended in a process that could not say so is LOST, and dispatched once more."""
    bitten = 0
    found: list[Violation] = []
    for case in evidence.cases():
        done = {effect.dispatch for effect in case.effects if effect.kind == "end" and effect.outcome == "ok"}
        for n, (event, closure) in case.closures.items():
            if n not in done or not isinstance(closure, Lost):
                continue
            bitten += 1
            place = f"job {case.job_id}, dispatch {n}, ledger {event.partition}/{event.offset}"
            again = case.claims.get(n + 1)
            if again is None and case.state is not State.CANCELLED:
                found.append(broken("work that was lost when it was done was not dispatched again", place))
            elif again is not None and again[0].offset < event.offset:
                found.append(broken("it was claimed again before it was lost", place))
    return found or unless(bitten, "no work was done and then lost")


def peers_take_over_what_was_evicted(evidence: Evidence) -> list[Violation]:
    """Ask that an evicted executor claims nothing while it is blocked, and others where it had claimed.

    Where it had claimed at least somewhere: the time left is short, and what waits longest goes first.
    """
    span = span_of(evidence, LOOP_BLOCKED)
    evicted = next((line for line in evidence.history if line.what == EVICTED), None)
    if span is None or evicted is None:
        return [broken("nobody was evicted", "history")]
    after = Span(evicted.at_ms, span.end_ms)
    mine = f"{evicted.detail['name']}:"
    had: set[int] = set()
    own: set[int] = set()
    peers: set[int] = set()
    for event, verdict in _verdicts(evidence):
        if not isinstance(verdict, Claimed):
            continue
        if after.has(event.timestamp_ms):
            (own if verdict.executor.startswith(mine) else peers).add(event.partition)
        elif event.timestamp_ms < span.begin_ms and verdict.executor.startswith(mine):
            had.add(event.partition)
    if own:
        return [broken("an executor claimed while it was evicted", f"partitions {sorted(own)}")]
    if not had & peers:
        what = f"it had {sorted(had)}, peers claimed on {sorted(peers)} in {after}"
        return [broken("peers did not take partitions over", what)]
    return []


def a_blocked_handler_is_left_to_finish(evidence: Evidence) -> list[Violation]:
    """Ask that the job that held its worker's loop ran once to its end, and that nothing at all was lost."""
    blocking = 0
    found: list[Violation] = []
    for case in evidence.cases():
        lost = [n for n, (_, closure) in case.closures.items() if isinstance(closure, Lost)]
        if lost:
            found.append(broken("a dispatch was lost to a blocked handler", f"job {case.job_id}, {lost}"))
        if case.order is not None and case.order.kind is Kind.BLOCKING:
            blocking += 1
            closure = case.closures.get(1)
            if closure is None or not isinstance(closure[1], Succeeded):
                found.append(broken("the blocking job did not succeed at once", f"job {case.job_id}"))
    return found or unless(blocking, "no job blocked its worker")


def failures_stand_until_they_are_decided(evidence: Evidence) -> list[Violation]:
    """Ask that failures of the time without a dlq_handler are in the log undecided, and decided after it."""
    span = span_of(evidence, DECIDER_AWAY)
    if span is None:
        return [broken("the dlq_handler was never away", "history")]
    away = Span(span.begin_ms + SETTLE_MS, span.end_ms)
    stood = 0
    found: list[Violation] = []
    for case in evidence.cases():
        decided = _decisions(case)
        for n, (event, closure) in case.closures.items():
            if not isinstance(closure, Failed) or not away.has(event.timestamp_ms):
                continue
            stood += 1
            place = f"job {case.job_id}, dispatch {n}, ledger {event.partition}/{event.offset}"
            if n not in decided and case.state not in TERMINAL:
                found.append(broken("a failure was never decided", place))
            elif n in decided and away.has(decided[n].timestamp_ms):
                found.append(broken("a failure was decided without a dlq_handler", place))
    return found or unless(stood, "nothing failed while the dlq_handler was away")


def what_fell_due_meanwhile_is_released_once(evidence: Evidence) -> list[Violation]:
    """Ask that retries which fell due between the kills were claimed after them, once and not early."""
    span = span_of(evidence, DUE_KILLED)
    if span is None:
        return [broken("the scheduler was not killed", "history")]
    fell_due = 0
    found: list[Violation] = []
    for case in evidence.cases():
        for _, verdict, _ in case.verdicts:
            if not isinstance(verdict, Decided) or verdict.action is not Action.RETRY:
                continue
            if not span.has(verdict.due_ms):
                continue
            fell_due += 1
            if verdict.n + 1 not in case.claims and case.state not in (State.CANCELLED, State.EXPIRED):
                place = f"job {case.job_id}, dispatch {verdict.n + 1}, due {verdict.due_ms}"
                found.append(broken("a retry that fell due was never claimed", place))
    return found or unless(fell_due, "no retry fell due between the kills")


def versions_share_the_work(evidence: Evidence) -> list[Violation]:
    """Ask that executors of both versions claimed while both ran, and that jobs went from one to the other.

    The old version does not count its claims.
    """
    spans = {mixed: span_of(evidence, mixed) for mixed in (MIXED_DOWN, MIXED_UP)}
    seen: dict[str, set[bool]] = {mixed: set() for mixed in spans}
    crossed = 0
    for case in evidence.cases():
        crossed += len({claim.seq > 0 for _, claim in case.claims.values()}) == 2
        for event, claim in case.claims.values():
            for mixed, span in spans.items():
                if span is not None and span.has(event.timestamp_ms):
                    seen[mixed].add(claim.seq > 0)
    alone = [mixed for mixed, counted in seen.items() if len(counted) < 2]
    return [
        *(broken("the fault did not bite", f"{mixed}: one version alone claimed") for mixed in alone),
        *unless(crossed, "no job was retried by the other version"),
    ]


def _decisions(case: Case) -> dict[int, FoldedEvent]:
    return {verdict.n: event for event, verdict, _ in case.verdicts if isinstance(verdict, Decided)}


def _verdicts(evidence: Evidence) -> Iterator[tuple[FoldedEvent, object]]:
    for case in evidence.cases():
        for event, verdict, _ in case.verdicts:
            yield event, verdict


def unless(count: int, what: str) -> list[Violation]:
    """Say that the fault did not bite, unless something was seen of it."""
    return [] if count else [broken("the fault did not bite", what)]


def broken(what: str, evidence: str) -> Violation:
    """Say that what a scenario promises is not so."""
    return Violation("claim", what, evidence)
