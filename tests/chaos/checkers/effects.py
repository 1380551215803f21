"""I4, I7, I12: what tasks really did, against what the ledger allowed them to do."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from core.fault import FaultClass
from core.ledger.notes import Accepted
from core.ledger.verdicts import Action, Decided, Failed, Lost, Released, Succeeded
from tests.chaos.case import Case
from tests.chaos.effects import Effect
from tests.chaos.evidence import Evidence, Overlaps, Violation

EARLY_MS = 5
"""Wall clock of a worker against the broker's times, on one machine; both are cut to milliseconds."""


class Overlap(NamedTuple):
    """Two attempts of a job that ran at the same time."""

    job_id: str
    first: int
    second: int
    by_ms: float
    cause: str


def dispatches_start_once(case: Case, _evidence: Evidence) -> Iterator[Violation]:
    """Ask that no dispatch has more than one start row."""
    starts = Counter(effect.dispatch for effect in _starts(case))
    for dispatch, count in starts.items():
        if count > 1:
            pids = [effect.pid for effect in _starts(case) if effect.dispatch == dispatch]
            evidence = f"job {case.job_id}, dispatch {dispatch}, processes {pids}"
            yield Violation("I4", f"a dispatch was started {count} times", evidence)


def starts_are_claimed(case: Case, evidence: Evidence) -> Iterator[Violation]:
    """Ask that what started had a claim that holds, appended before, and was due."""
    claims = case.claims
    due_ms = _due_times(case)
    for effect in _starts(case):
        place = f"job {case.job_id}, dispatch {effect.dispatch}, at {effect.at_ms}"
        claim = claims.get(effect.dispatch)
        if claim is None:
            yield Violation("I7", "something started without a claim that holds", place)
        elif _is_before(effect, claim[0].timestamp_ms, evidence):
            claimed_ms = claim[0].timestamp_ms
            yield Violation("I7", "something started before it was claimed", f"{place}, claimed {claimed_ms}")
        due = due_ms.get(effect.dispatch, 0)
        if _is_before(effect, due, evidence):
            yield Violation("I12", "something started before it was due", f"{place}, due {due}")


def _is_before(effect: Effect, log_ms: int, evidence: Evidence) -> bool:
    """Whether something was done before the broker's time ``log_ms``; False when that cannot be known."""
    at_ms = evidence.started_ms(effect)
    return at_ms is not None and at_ms + EARLY_MS < log_ms


def _due_times(case: Case) -> dict[int, int]:
    due_ms: dict[int, int] = {}
    for event in case.events:
        if isinstance(event.event, Accepted):
            due_ms[1] = event.event.run_at_ms or 0
    for _, verdict, _ in case.verdicts:
        if isinstance(verdict, Decided) and verdict.action is Action.RETRY:
            due_ms[verdict.n + 1] = verdict.due_ms or 0
    return due_ms


def attempts_start_after_the_last_was_closed(case: Case, evidence: Evidence) -> Iterator[Violation]:
    """Ask that attempt n + 1 started only after n was closed in the log."""
    closures = case.closures
    for effect in _starts(case):
        if effect.dispatch == 1 or effect.dispatch - 1 not in case.claims:
            continue
        place = f"job {case.job_id}, dispatch {effect.dispatch}, at {effect.at_ms}"
        closure = closures.get(effect.dispatch - 1)
        if closure is None:
            yield Violation("I7", "an attempt started although the one before it is open", place)
        elif _is_before(effect, closure[0].timestamp_ms, evidence):
            closed_ms = closure[0].timestamp_ms
            yield Violation("I7", "an attempt started before the last was closed", f"{place}, {closed_ms}")


def successes_did_their_work(case: Case, _evidence: Evidence) -> Iterator[Violation]:
    """Ask that the dispatch that made a job succeed has an end row saying that its work ended well."""
    done = {effect.dispatch for effect in case.effects if effect.kind == "end" and effect.outcome == "ok"}
    for event, verdict, _ in case.verdicts:
        if isinstance(verdict, Succeeded) and verdict.n not in done:
            place = f"job {case.job_id}, dispatch {verdict.n}, ledger {event.partition}/{event.offset}"
            yield Violation("I4", "a success is in the log but its work was never done", place)


def attempts_do_not_overlap(case: Case, evidence: Evidence) -> Iterator[Violation]:
    """Ask that no two attempts of a job ran at once, unless the scenario explains it."""
    if evidence.overlaps is Overlaps.EXPLAINED:
        return
    for found in overlaps(case, evidence):
        what = f"dispatch {found.second} began {found.by_ms:.0f} ms before {found.first} had ended"
        yield Violation("I4", what, f"job {case.job_id}; {found.cause}")


def overlaps(case: Case, evidence: Evidence) -> list[Overlap]:
    """Give the overlaps, with what closed the earlier attempt in the log.

    An attempt without an end row is known to have run until its process gave its last sign of life.
    """
    ends = {
        (effect.dispatch, effect.pid): effect.at_boot_s for effect in case.effects if effect.kind == "end"
    }
    found: list[Overlap] = []
    last_end_s, last = float("-inf"), 0
    for effect in sorted(_starts(case), key=lambda one: one.at_boot_s):
        if effect.at_boot_s < last_end_s and effect.dispatch != last:
            by_ms = 1000 * (last_end_s - effect.at_boot_s)
            found.append(Overlap(case.job_id, last, effect.dispatch, by_ms, closing(case, last)))
        alive_s = evidence.marks.get((effect.pid, effect.process_started), effect.at_boot_s)
        end_s = ends.get((effect.dispatch, effect.pid), max(alive_s, effect.at_boot_s))
        if end_s > last_end_s:
            last_end_s, last = end_s, effect.dispatch
    return found


def repeats(case: Case) -> list[str]:
    """Give the cause of every effect that was cut off, so that the next attempt did it again."""
    dispatches = sorted({effect.dispatch for effect in _starts(case)})
    return [closing(case, dispatch) for dispatch in dispatches[:-1] if was_cut_off(case, dispatch)]


def was_cut_off(case: Case, dispatch: int) -> bool:
    """Tell whether a dispatch was closed by others than its own work."""
    closure = case.closures.get(dispatch)
    match None if closure is None else closure[1]:
        case Lost() | Released():
            return True
        case Failed(error_class=error_class):
            return error_class == FaultClass.LOST
        case _:
            return False


def closing(case: Case, dispatch: int) -> str:
    """Say what closed a dispatch."""
    closure = case.closures.get(dispatch)
    match None if closure is None else closure[1]:
        case None:
            return "nothing closed it"
        case Lost(reason=reason):
            return f"lost: {reason}"
        case Released(reason=reason):
            return f"released: {reason}"
        case Failed(error_type=error_type):
            return f"failed: {error_type}"
        case _:
            return "succeeded"


def _starts(case: Case) -> list[Effect]:
    return [effect for effect in case.effects if effect.kind == "start"]
