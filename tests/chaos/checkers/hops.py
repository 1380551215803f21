"""I9, I7 between stages: a hand-over is in the log before its offset is committed, and after its decision."""

from collections.abc import Iterable, Iterator

from core.ledger.notes import Accepted, Repeated
from core.ledger.verdicts import Action, Decided, Expired, Failed, Redriven, Refused
from core.log import TopicPartition
from schemas.ledger import FoldedEvent
from tests.chaos.case import Case, Hop
from tests.chaos.evidence import Clocks, Evidence, Place, Stage, Violation
from tests.chaos.watch import EndsThen

GROUPS = {Stage.GATES: "scheduler", Stage.WHEEL: "scheduler", Stage.READY: "prioritizer"}
FURTHER = {
    Stage.GATES: (Stage.WORKFLOW, Stage.WHEEL, Stage.ORDER, Stage.READY),
    Stage.WHEEL: (Stage.WHEEL, Stage.ORDER, Stage.READY),
}
"""Where a dispatch may go from a stage: past gates that it does not have."""
EXPIRE = "expire"


def stages_hand_over_first(case: Case, evidence: Evidence) -> Iterator[Violation]:
    """Ask that what a record led to stood in the log when scheduler or prioritizer was seen past it."""
    for hop in case.hops:
        group = GROUPS.get(evidence.stages[hop.topic])
        ends = group and evidence.output_ends(group, hop.topic, hop.partition, hop.offset)
        if not ends:
            continue
        where = f"job {case.job_id}, dispatch {hop.n}, {hop.topic}/{hop.partition}/{hop.offset}"
        for what, places in _owed(hop, case, evidence):
            if not places and not evidence.has_gaps:
                yield Violation("I9", f"{group} committed past a record and made no {what} of it", where)
            late = [place for place in places if not _had(ends, place)]
            if places and len(late) == len(places):
                said = f"{group} committed past a record before its {what} was in the log"
                yield Violation("I9", said, f"{where}, {late[0]}")


def _had(ends: EndsThen, place: Place) -> bool:
    return ends.had(*place)


def _owed(hop: Hop, case: Case, evidence: Evidence) -> Iterator[tuple[str, list[Place]]]:
    """Give what a record that is done with owes: one place of each list must be in the log."""
    ended = _in_ledger((one for one in case.events if isinstance(one.event, Expired | Refused)), evidence)
    match evidence.stages[hop.topic]:
        case Stage.GATES:
            own = [one for one in case.events if isinstance(one.event, Accepted | Repeated)]
            own = [one for one in own if one.event.origin == hop.origin]
            yield "note", _in_ledger(own, evidence)
            if any(isinstance(one.event, Accepted) for one in own):
                yield "onward record", [*_onward(hop, case, evidence), *ended]
        case Stage.WHEEL:
            yield "onward record", [*_onward(hop, case, evidence), *ended]
        case Stage.READY:
            failed = (one for one in case.events if isinstance(one.event, Failed) and one.event.n == hop.n)
            onward = (Stage.EXECUTION, Stage.HELD)
            others = (one for one in case.hops if evidence.stages[one.topic] in onward)
            placed = [_place(one, evidence) for one in others if one.n == hop.n]
            yield "dispatch", [*placed, *ended, *_in_ledger(failed, evidence)]
        case Stage.WORKFLOW | Stage.ORDER:
            return  # It may wait there for any time: what is never let on shows as a job that does not end.
        case Stage.EXECUTION:
            return  # Executors owe claims: ``offsets.executors_claim_first``.
        case Stage.HELD:
            return  # Nobody commits there: what is not handed on shows as a job that does not end.


def _onward(hop: Hop, case: Case, evidence: Evidence) -> list[Place]:
    """Give the records further on with the same purpose: in a gate behind, in the wheel, or ready to run."""
    further = FURTHER[evidence.stages[hop.topic]]
    return [
        _place(one, evidence)
        for one in case.hops
        if one.n == hop.n
        and evidence.stages[one.topic] in further
        and (one.next == EXPIRE) == (hop.next == EXPIRE)
        and (one.topic, one.partition, one.offset) != (hop.topic, hop.partition, hop.offset)
    ]


def _in_ledger(events: Iterable[FoldedEvent], evidence: Evidence) -> list[Place]:
    ledger = evidence.routes.ledger
    return [
        Place(TopicPartition(ledger, one.partition), one.offset, evidence.appended_ms(one.timestamp_ms))
        for one in events
    ]


def _place(hop: Hop, evidence: Evidence) -> Place:
    return Place(TopicPartition(hop.topic, hop.partition), hop.offset, evidence.appended_ms(hop.at_ms))


def only_what_was_decided_travels(case: Case, evidence: Evidence) -> Iterator[Violation]:
    """Ask that every dispatch on its way was accepted or decided, and a later one only after its decision."""
    accepted = any(isinstance(event.event, Accepted) for event in case.events)
    decided_ms = {
        verdict.n + 1: event.timestamp_ms
        for event, verdict, _ in case.verdicts
        if isinstance(verdict, Decided) and verdict.action is Action.RETRY
    }
    decided_ms |= {
        verdict.n: event.timestamp_ms for event, verdict, _ in case.verdicts if isinstance(verdict, Redriven)
    }
    for hop in case.hops:
        where = f"job {case.job_id}, dispatch {hop.n}, {hop.topic}/{hop.partition}/{hop.offset}"
        is_first = hop.n == 1 and evidence.stages[hop.topic] is not Stage.GATES
        if is_first and not accepted:
            yield Violation("I3", "a dispatch is on its way of a job that was never accepted", where)
        if hop.n == 1:
            continue
        if hop.n not in decided_ms:
            yield Violation("I7", "a dispatch is on its way that was never decided", where)
        elif evidence.clocks is not Clocks.BROKER_JUMPS and hop.at_ms < decided_ms[hop.n]:
            said = f"{where}, appended {hop.at_ms}, decided {decided_ms[hop.n]}"
            yield Violation("I7", "a dispatch was on its way before it was decided", said)
