"""What scenarios about schedules, pauses, limits and cancels promise, as pure functions of the evidence."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from core.fault import FaultClass
from core.ledger.notes import Accepted, Waiting
from core.ledger.verdicts import Cancel, Failed, Lost, Released
from core.schedules import CatchUp, Overlap
from core.states import State
from schemas.schedules import LABEL_SCHEDULE, LABEL_TICK
from tests.chaos.case import Case
from tests.chaos.claims import Span, broken, unless
from tests.chaos.effects import Effect
from tests.chaos.evidence import Evidence, Violation
from tests.chaos.history import Line
from tests.chaos.orders import UNHEEDING
from tests.chaos.timetable import WRITTEN

SHOWN = "schedule shown"
ORDERED = "ordered"
"""In the history, each time: a pause or a limit, when it was in the log, and whether it ``lifts`` one."""
GETS_ABOUT_MS = 2_000
"""Until all services have read an order."""
WINDOW_MS = 10_000
MORE = 1.05
GRACE_S = 2.0
"""Of a cancel, where these claims are made."""
ASYNC_MORE_S = 5.0
"""An async handler that goes on after its grace loses its worker so much later."""
SLACK_S = 3.0
"""Until an executor has read the cancel, and its worker's last sign of life is written."""
TICKS_MIN = 40
"""Of all schedules, that fell due while something was being killed."""


class Ticks(NamedTuple):
    """What a schedule should have done, by the notes of what was written and by arithmetic alone."""

    times_ms: frozenset[int]
    queues: bool


def each_tick_is_one_job(evidence: Evidence) -> list[Violation]:
    """Ask that every tick of every schedule is one job that succeeded, none is early, and nothing else is."""
    expected, shown = _expected(evidence.history), _shown(evidence.history)
    jobs: dict[tuple[str, int], list[Case]] = defaultdict(list)
    found: list[Violation] = []
    for case in evidence.cases():
        tick = _tick(case)
        if tick is not None:
            jobs[tick].append(case)
    for name, ticks in expected.items():
        found += _differences(name, ticks, {at: cases for (of, at), cases in jobs.items() if of == name})
        if shown.get(name) != len(ticks.times_ms):
            said = f"{name}: {shown.get(name)} are shown, {len(ticks.times_ms)} there were"
            found.append(broken("the table does not count the ticks of a schedule", said))
    found += [
        broken("a tick of a schedule that nobody wrote", name) for name, _ in jobs if name not in expected
    ]
    killing = [(line.at_ms, line.event) for line in evidence.history if line.event in ("fault", "heal")]
    spans = [Span(begin, end) for (begin, _), (end, said) in pairwise(killing) if said == "heal"]
    under_fire = sum(any(span.has(at) for span in spans) for _, at in jobs)
    return found or unless(under_fire >= TICKS_MIN, f"{under_fire} ticks fell due while something was killed")


def _differences(name: str, ticks: Ticks, jobs: dict[int, list[Case]]) -> Iterator[Violation]:
    for at_ms in sorted(ticks.times_ms - jobs.keys()):
        yield broken("a tick is no job", f"{name}, {at_ms}")
    for at_ms in sorted(jobs.keys() - ticks.times_ms):
        yield broken("a job for a tick that there is not", f"{name}, {at_ms}, job {jobs[at_ms][0].job_id}")
    for at_ms, cases in sorted(jobs.items()):
        place = f"{name}, {at_ms}, jobs {[case.job_id for case in cases]}"
        if len(cases) > 1:
            yield broken("a tick is more than one job", place)
        if cases[0].state is not State.SUCCEEDED:
            yield broken(f"the job of a tick is {cases[0].state}", place)
        if min(record.timestamp_ms for record in cases[0].records) < at_ms:
            yield broken("a tick fired early", place)
    if ticks.queues:
        line = [(at_ms, cases[0]) for at_ms, cases in sorted(jobs.items()) if cases[0].claims]
        for (first_ms, first), (second_ms, second) in pairwise(line):
            claimed_ms = min(event.timestamp_ms for event, _ in second.claims.values())
            if not first.endings or claimed_ms < first.endings[-1][0].timestamp_ms:
                yield broken("a tick did not wait for the one before", f"{name}, {second_ms}, {first_ms}")


def _tick(case: Case) -> tuple[str, int] | None:
    accepted = next((one.event for one in case.events if isinstance(one.event, Accepted)), None)
    if accepted is None or LABEL_TICK not in accepted.labels:
        return None
    at = datetime.fromisoformat(accepted.labels[LABEL_TICK])
    return accepted.labels[LABEL_SCHEDULE], round(at.timestamp() * 1000)


def _expected(history: Sequence[Line]) -> dict[str, Ticks]:
    """Give the ticks of each schedule: of each of its plans, up to and with the time of the next."""
    written: dict[str, list[dict[str, str | int | float]]] = defaultdict(list)
    for line in history:
        if line.what == WRITTEN:
            written[str(line.detail["name"])].append(line.detail)
    found: dict[str, Ticks] = {}
    for name, plans in written.items():
        times: set[int] = set()
        for plan, then in pairwise(plans):
            if not plan["paused"] or plan["catch_up"] != CatchUp.SKIP:
                times.update(_times(plan, int(then["at_ms"])))
        found[name] = Ticks(frozenset(times), plans[0]["overlap"] == Overlap.QUEUE)
    return found


def _shown(history: Sequence[Line]) -> dict[str, int]:
    return {str(one.detail["name"]): int(one.detail["fired"]) for one in history if one.what == SHOWN}


def _times(plan: dict[str, str | int | float], until_ms: int) -> range:
    every_ms, anchor_ms = int(plan["every_ms"]), int(plan["anchor_ms"])
    passed = (int(plan["at_ms"]) - anchor_ms) // every_ms
    return range(anchor_ms + (passed + 1) * every_ms, until_ms + 1, every_ms)


class Standing(NamedTuple):
    """An order of an operator about a type, and when it was in the log and when it was lifted."""

    type: str
    rate_per_s: float
    """0: it is paused."""
    span: Span


def nothing_starts_while_it_is_paused(evidence: Evidence) -> list[Violation]:
    """Ask that nothing of a paused type is claimed once the pause has got about, and that others go on."""
    pauses = [one for one in _orders(evidence.history) if not one.rate_per_s]
    held = others = 0
    found: list[Violation] = []
    for case in evidence.cases():
        held += _waited(case, "pause")
        for event, claim in case.claims.values():
            for pause in pauses:
                if not pause.span.has(event.timestamp_ms):
                    continue
                if case.order is None or case.order.type != pause.type:
                    others += 1
                elif event.timestamp_ms > pause.span.begin_ms + GETS_ABOUT_MS:
                    said = f"job {case.job_id}, dispatch {claim.n}, claimed {event.timestamp_ms}, {pause}"
                    found.append(broken("something was claimed while it was paused", said))
    return found or unless(min(held, others), f"{held} were held for a pause, {others} others went on")


def limits_are_kept(evidence: Evidence) -> list[Violation]:
    """Ask that in no 10 s more of a limited type was claimed than its rate allows, and 5 %."""
    held = 0
    times: dict[str, list[int]] = defaultdict(list)
    for case in evidence.cases():
        held += _waited(case, "limit")
        if case.order is not None:
            times[case.order.type] += (event.timestamp_ms for event, _ in case.claims.values())
    found: list[Violation] = []
    for limit in _orders(evidence.history):
        if not limit.rate_per_s:
            continue
        begin_ms, end_ms = limit.span.begin_ms + GETS_ABOUT_MS, limit.span.end_ms
        claimed = sorted(at_ms for at_ms in times[limit.type] if begin_ms <= at_ms <= end_ms)
        most, at_ms = max(
            ((bisect_left(claimed, at + WINDOW_MS) - number, at) for number, at in enumerate(claimed)),
            default=(0, 0),
        )
        if most > limit.rate_per_s * WINDOW_MS / 1000 * MORE:
            found.append(broken("more was claimed than a limit allows", f"{most} from {at_ms}, {limit}"))
    return found or unless(held, "nothing was held for a limit")


def _waited(case: Case, on: str) -> bool:
    return any(isinstance(one.event, Waiting) and one.event.on == on for one in case.events)


def _orders(history: Sequence[Line]) -> list[Standing]:
    """Give what was ordered; what was never lifted stood to the end of time."""
    said = [line.detail for line in history if line.what == ORDERED]
    found: list[Standing] = []
    for number, order in enumerate(said):
        if order["lifts"]:
            continue
        same = (
            one
            for one in said[number + 1 :]
            if (one["about"], one["type"]) == (order["about"], order["type"])
        )
        end_ms = next((int(one["at_ms"]) for one in same), 2**63)
        span = Span(int(order["at_ms"]), end_ms)
        found.append(Standing(str(order["type"]), float(order["rate_per_s"]), span))
    return found


def cancels_are_carried_out(evidence: Evidence) -> list[Violation]:
    """Ask that work which ignores its cancel ends with its worker, and takes no attempt of others with it."""
    killed = handed_back = 0
    found: list[Violation] = []
    for case in evidence.cases():
        if case.order is not None and case.order.kind in UNHEEDING:
            found += _outlived(case, evidence)
            killed += case.state is State.CANCELLED and bool(_cut_off(case))
        else:
            found += _robbed(case)
            handed_back += any(isinstance(closure, Released) for _, closure in case.closures.values())
    said = f"{killed} jobs were ended with their worker, {handed_back} others handed back"
    return found or unless(min(killed, handed_back), said)


def _cut_off(case: Case) -> list[Effect]:
    """Give the starts that have no end."""
    ended = {(one.dispatch, one.pid) for one in case.effects if one.kind == "end"}
    return [one for one in case.effects if one.kind == "start" and (one.dispatch, one.pid) not in ended]


def _outlived(case: Case, evidence: Evidence) -> Iterator[Violation]:
    """Find workers that lived on, and work that went on to its end."""
    cancel = next((event for event, verdict, _ in case.verdicts if isinstance(verdict, Cancel)), None)
    if cancel is None:
        return
    for start in (one for one in case.effects if one.kind == "start"):
        ends = [one for one in case.effects if one.kind == "end" and one.dispatch == start.dispatch]
        mark_s = evidence.marks.get((start.pid, start.process_started), start.at_boot_s)
        last_ms = ends[0].at_ms if ends else evidence.boot_ms + 1000 * mark_s
        late_s = (last_ms - max(cancel.timestamp_ms, start.at_ms)) / 1000
        if late_s > GRACE_S + ASYNC_MORE_S + SLACK_S:
            said = f"job {case.job_id}, process {start.pid}, {late_s:.1f} s after the cancel"
            yield broken("cancelled work went on", said)


def _robbed(case: Case) -> Iterator[Violation]:
    """Find attempts that a job lost by what others did."""
    for n, (event, closure) in case.closures.items():
        place = f"job {case.job_id}, dispatch {n}, ledger {event.partition}/{event.offset}"
        died = isinstance(closure, Failed) and closure.error_class == FaultClass.LOST
        if died or isinstance(closure, Lost):
            yield broken("a neighbour of a cancelled job lost an attempt", place)
        again = case.claims.get(n + 1)
        if isinstance(closure, Released) and again is not None:
            before = case.claims[n][1].attempt
            if again[1].attempt != before:
                said = f"{place}: {before}, then {again[1].attempt}"
                yield broken("a hand-back used up an attempt", said)
