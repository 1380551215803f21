"""I1, I2, I3: what was acknowledged is there, what was accepted ends once, what was refused never runs."""

from collections.abc import Iterator

from core.ledger.notes import Accepted, Repeated
from core.ledger.verdicts import Redriven
from core.states import TERMINAL, State
from penstock.demo.checks import ENVIRONMENT_CLASSES
from penstock.demo.sent import SendOutcome
from tests.chaos.case import Case, Submitted
from tests.chaos.evidence import Evidence, Violation
from tests.chaos.orders import Kind, Order


def sends_agree_with_the_log(evidence: Evidence) -> Iterator[Violation]:
    """Ask that what was acknowledged stands in ``jobs`` once, and what failed for certain does not."""
    for problem in evidence.sends:
        place = f"send {problem.send}, {problem.outcome} {problem.place}"
        if problem.outcome is SendOutcome.OK and problem.records == 0:
            yield Violation("I1", "an acknowledged record is not in the log", place)
        elif problem.outcome is SendOutcome.FAILED:
            yield Violation("I3", "a send that failed for certain is in the log", place)
        else:
            yield Violation("I3", f"one send stands {problem.records} times in the log", place)


def records_are_accounted_for(case: Case, _evidence: Evidence) -> Iterator[Violation]:
    """Ask that every record of ``jobs`` is accepted, a repeat or rejected, and of them the right one."""
    accepted = {event.event.origin for event in case.events if isinstance(event.event, Accepted)}
    repeated = {event.event.origin for event in case.events if isinstance(event.event, Repeated)}
    for record in case.records:
        place = f"{case.job_id} of jobs/{record.partition}/{record.offset}"
        origin = next((one for one in accepted | repeated if record.is_at(one)), None)
        if origin is None and record.rejected is None:
            yield Violation("I1", "a record is neither in the ledger nor rejected", place)
        if origin in accepted and record.rejected is not None:
            yield Violation("I3", f"a record is accepted and rejected ({record.rejected})", place)
        yield from _is_judged_rightly(record, place)


def _is_judged_rightly(record: Submitted, place: str) -> Iterator[Violation]:
    if record.order is None:
        return
    is_poison = record.order.kind is Kind.POISON
    if is_poison and record.rejected is None:
        yield Violation("I3", "a record that is no job was not rejected", place)
    if not is_poison and record.rejected is not None:
        yield Violation("I1", f"a valid job was rejected: {record.rejected}", place)


def jobs_end_once(case: Case, _evidence: Evidence) -> Iterator[Violation]:
    """Ask that an accepted job has exactly one terminal state; a redrive allows one more."""
    if not any(isinstance(event.event, Accepted) for event in case.events):
        return
    if case.state not in TERMINAL:
        yield Violation("I2", f"an accepted job is {case.state or State.ACCEPTED}", _last(case))
    endings = case.endings
    redrives = sum(isinstance(verdict, Redriven) for _, verdict, _ in case.verdicts)
    if len(endings) > 1 + redrives:
        said = ", ".join(f"{state} at {event.partition}/{event.offset}" for event, state in endings)
        yield Violation("I2", "a job ended more than once", f"job {case.job_id}: {said}")


def jobs_end_as_their_work(case: Case, _evidence: Evidence) -> Iterator[Violation]:
    """Ask that work that can succeed succeeded, and work that always fails did not.

    Whether what was skipped was to be skipped is asked of all jobs of its workflow (``gated``).
    """
    order, state = case.order, case.state
    if order is None or state not in TERMINAL or state == _ending(order):
        return
    if state in (State.CANCELLED, State.EXPIRED, State.SKIPPED) and _may_be(state, case):
        return
    row = case.rows.get(f"jobs/{case.job_id}", {})
    if state is State.DEAD and row.get("error_class") in ENVIRONMENT_CLASSES:
        return
    why = f"{row.get('error_class')}: {row.get('error_message')}"
    yield Violation("I2", f"{order.kind} work ended {state}", f"job {case.job_id}, {why}")


def _ending(order: Order) -> State:
    return State.DEAD if order.kind is Kind.FAILING else State.SUCCEEDED


def _may_be(state: State, case: Case) -> bool:
    """Say whether any send of the job asked for that: a repeat of a cancelled one may stand before it."""
    orders = [one.order for one in case.records if one.order is not None]
    if state is State.CANCELLED:
        return any(order.cancel_after_s is not None for order in orders)
    member = "expires_at" if state is State.EXPIRED else "depends_on"
    return any(member in order.options for order in orders)


def nothing_foreign_runs(case: Case, _evidence: Evidence) -> Iterator[Violation]:
    """Ask that nothing ran or was accepted that was not sent, and nothing that was refused."""
    starts = [effect for effect in case.effects if effect.kind == "start"]
    if not case.records and (starts or case.events):
        what = "a job ran that nobody sent" if starts else "the ledger has a job that nobody sent"
        yield Violation("I3", what, f"job {case.job_id}")
    accepted = any(isinstance(event.event, Accepted) for event in case.events)
    if starts and not accepted and case.records:
        yield Violation("I3", "a job ran that was never accepted", f"job {case.job_id}")


def _last(case: Case) -> str:
    events = [
        f"{type(event.event).__name__}@{event.partition}/{event.offset}"
        f"{'' if event.outcome is None or event.outcome.holds else ' (refused)'}"
        for event in case.events
    ]
    kind = case.order.kind if case.order else "unknown"
    return f"job {case.job_id} ({kind}): {', '.join(events[-8:])}"
