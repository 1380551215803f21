"""I9: a committed offset never moves back and never passes a hand-over that was not acknowledged."""

from collections import Counter
from collections.abc import Iterator

from core.ledger.notes import Accepted
from core.ledger.verdicts import Decided, Failed, Lost, Released
from core.log import TopicPartition
from core.states import TERMINAL
from schemas.ledger import FoldedEvent
from tests.chaos.case import Case
from tests.chaos.evidence import Evidence, Place, Stage, Violation
from tests.chaos.watch import TABLE, Fall


def commits_never_go_back(evidence: Evidence) -> Iterator[Violation]:
    """Ask that of two offsets committed for one place the later is the larger, in the log of all commits."""
    for fall in evidence.commits.falls:
        if fall.key.group not in evidence.rewinds:
            yield _fallen(fall, "a commit")


def offsets_never_move_back(evidence: Evidence) -> Iterator[Violation]:
    """Ask that an offset seen to go back was not taken back by anybody, but forgotten by the broker."""
    for fall in evidence.watch.falls:
        if fall.key.group not in evidence.rewinds and not evidence.commits.disproves(fall):
            yield _fallen(fall, "an offset that was seen")


def forgotten(evidence: Evidence) -> Counter[str]:
    """Count, by group, what the broker forgot: it stands in its log and was not what it answered."""
    falls = (fall for fall in evidence.watch.falls if evidence.commits.disproves(fall))
    return Counter(fall.key.group for fall in falls)


def _fallen(fall: Fall, what: str) -> Violation:
    place = f"{fall.key.group} on {fall.key.topic}/{fall.key.partition}"
    return Violation("I9", f"{what} went from {fall.before} to {fall.after}", place)


def tables_lead(evidence: Evidence) -> Iterator[Violation]:
    """Ask that the materializer's offset in Kafka is never ahead of the table it is committed for."""
    group = evidence.routes.group("materializer")
    for key, sightings in evidence.watch.sightings.items():
        if key.group != group or TABLE in evidence.rewinds:
            continue
        for seen in sightings:
            reached = evidence.watch.ends[seen.look].get(TopicPartition(TABLE, key.partition))
            if reached is not None and reached < seen.offset:
                place = f"{group} on {key.topic}/{key.partition}: {seen.offset}, the table: {reached}"
                yield Violation("I9", "the materializer committed what its table does not have", place)


def ingest_hands_over_first(case: Case, evidence: Evidence) -> Iterator[Violation]:
    """Ask that what ingest made of a record stood in the log when its offset was seen committed."""
    routes = evidence.routes
    accepted = {event.event.origin: event for event in case.events if isinstance(event.event, Accepted)}
    for record in case.records:
        if record.order is None or record.order.is_named:
            continue  # A named job passes a gate first, and the scheduler says what it is.
        event = next((one for origin, one in accepted.items() if record.is_at(origin)), None)
        if event is not None:
            output = _place(event, evidence)
        elif record.rejected is not None:
            output = Place(TopicPartition(routes.rejected, record.partition), record.rejected_at)
        else:
            continue
        place = (routes.jobs, record.partition, record.offset)
        yield from _is_before(case, evidence, "ingest", place, output)


def handlers_decide_first(case: Case, evidence: Evidence) -> Iterator[Violation]:
    """Ask that the decision stood in the log when a closure's offset was seen committed."""
    ledger = evidence.routes.ledger
    decided = {verdict.n: event for event, verdict, _ in case.verdicts if isinstance(verdict, Decided)}
    for event, verdict, outcome in case.verdicts:
        if not isinstance(verdict, Failed | Lost | Released) or outcome.state in TERMINAL:
            continue
        decision = decided.get(verdict.n)
        if decision is not None:
            place = (ledger, event.partition, event.offset)
            yield from _is_before(case, evidence, "dlq_handler", place, _place(decision, evidence))


def executors_claim_first(case: Case, evidence: Evidence) -> Iterator[Violation]:
    """Ask that the claim stood in the log when its dispatch's offset was seen committed.

    Or the dispatch stood in ``jobs.held`` since it was queued: whoever parks it lets go of it too, and
    somebody else who has read it before may claim it all the same.
    """
    for event, claim in case.claims.values():
        place = (claim.topic, claim.partition, claim.offset)
        queued_ms = min((one.at_ms for one in case.hops if one[1:4] == place), default=0)
        parked = [
            Place(TopicPartition(one.topic, one.partition), one.offset, evidence.appended_ms(one.at_ms))
            for one in case.hops
            if evidence.stages[one.topic] is Stage.HELD and one.n == claim.n and one.at_ms >= queued_ms
        ]
        yield from _is_before(case, evidence, "executor.default", place, _place(event, evidence), *parked)


def _place(event: FoldedEvent, evidence: Evidence) -> Place:
    ledger = TopicPartition(evidence.routes.ledger, event.partition)
    return Place(ledger, event.offset, evidence.appended_ms(event.timestamp_ms))


def _is_before(
    case: Case,
    evidence: Evidence,
    group: str,
    place: tuple[str, int, int],
    output: Place,
    *others: Place,
) -> Iterator[Violation]:
    ends = evidence.output_ends(group, *place)
    if ends is None or any(ends.get(one.partition) is not None and ends.had(*one) for one in others):
        return
    partition, offset, _ = output
    if not ends.had(*output):
        end = ends.get(partition)
        what = f"{group} committed past a record whose outcome was not in the log"
        where = f"{'/'.join(map(str, place))}: {partition.topic}/{partition.partition} ended at {end} then"
        yield Violation("I9", what, f"job {case.job_id}, {where}, its outcome stands at {offset}")
