"""What scenarios about schedules, pauses, limits and cancels promise is found broken where it is."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from core.ledger.notes import Accepted, Waiting
from core.ledger.verdicts import Cancel, Released
from core.schedules import CatchUp, Overlap
from tests.chaos import gated_claims as claims
from tests.chaos.case import Case
from tests.chaos.evidence import Evidence, Violation
from tests.chaos.history import Line
from tests.chaos.orders import Kind
from tests.chaos.stories import START_MS, Story, evidence, order_of
from tests.chaos.timetable import WRITTEN

EVERY_MS = 1_000
TICKS = 3 * claims.TICKS_MIN
END_MS = START_MS + TICKS * EVERY_MS
PAUSE_MS, RESUME_MS = START_MS + 10_500, START_MS + 20_500


def at(number: int, now_ms: int, kind: Kind = Kind.STEADY, **order: Any) -> Story:
    return Story(number, order_of(number, kind, **order), now_ms=now_ms)


def line(when_ms: int, event: str, what: str, **detail: Any) -> Line:
    return Line(0, when_ms, event, what, detail)


# Schedules: one that ticks every second from START_MS on, and skips what it was paused for.


def written(at_ms: int, **more: Any) -> Line:
    detail = {"name": "s", "at_ms": at_ms, "every_ms": EVERY_MS, "anchor_ms": 0, "paused": False}
    kept = {"catch_up": str(CatchUp.SKIP), "overlap": str(Overlap.QUEUE)}
    return line(at_ms, "note", WRITTEN, **(detail | kept | more))


def ticks() -> list[int]:
    times = range(START_MS + EVERY_MS, END_MS + 1, EVERY_MS)
    return [at_ms for at_ms in times if not PAUSE_MS < at_ms <= RESUME_MS]


def tick(number: int, tick_ms: int, fires_ms: int, takes_ms: int = 0) -> Case:
    story = at(number, fires_ms).claim()
    story.now_ms += takes_ms
    case = story.run().succeed().case()
    at_s = tick_ms / 1000
    stamp = f"1970-01-01T{int(at_s // 3600):02d}:{int(at_s // 60 % 60):02d}:{at_s % 60:06.3f}Z"
    first = case.events[0]
    assert isinstance(first.event, Accepted)
    labels = {"schedule": "s", "tick": stamp}
    case.events = [
        first._replace(event=msgspec.structs.replace(first.event, labels=labels)),
        *case.events[1:],
    ]
    case.records = [case.records[0]._replace(timestamp_ms=fires_ms, order=None)]
    return case


def of_ticks(cases: list[Case], shown: int = len(ticks())) -> list[Violation]:
    history = [
        written(START_MS),
        line(START_MS, "fault", "kill"),
        line(END_MS, "heal", "kill"),
        written(PAUSE_MS, paused=True),
        written(RESUME_MS),
        written(END_MS, every_ms=10**12),
        line(END_MS, "note", claims.SHOWN, name="s", fired=shown),
    ]
    return claims.each_tick_is_one_job(evidence(*cases, history=history))


def right_ticks() -> list[Case]:
    return [tick(number, at_ms, at_ms + 50) for number, at_ms in enumerate(ticks(), 1)]


def whats(found: list[Violation]) -> set[str]:
    assert all(one.invariant == "claim" and one.evidence for one in found)
    return {one.what for one in found}


def test_ticks_that_are_one_job_each_are_right() -> None:
    assert of_ticks(right_ticks()) == []


@pytest.mark.parametrize(
    ("plant", "what"),
    [
        (lambda cases: cases[1:], "a tick is no job"),
        (lambda cases: [*cases, tick(999, ticks()[0], ticks()[0])], "a tick is more than one job"),
        (
            lambda cases: [*cases, tick(999, PAUSE_MS + 500, PAUSE_MS + 500)],
            "a job for a tick that there is not",
        ),
        (lambda cases: [tick(1, ticks()[0], ticks()[0] - 1), *cases[1:]], "a tick fired early"),
        (
            lambda cases: [tick(1, ticks()[0], ticks()[0], takes_ms=2 * EVERY_MS), *cases[1:]],
            "a tick did not wait for the one before",
        ),
        (lambda cases: [stuck(cases[0]), *cases[1:]], "the job of a tick is running"),
    ],
)
def test_a_planted_violation_of_a_schedule_is_found(
    plant: Callable[[list[Case]], list[Case]], what: str
) -> None:
    assert what in whats(of_ticks(plant(right_ticks())))


def stuck(case: Case) -> Case:
    case.events = case.events[:-1]
    return case


def test_a_table_that_counts_ticks_wrongly_is_found() -> None:
    found = of_ticks(right_ticks(), shown=len(ticks()) + 1)
    assert whats(found) == {"the table does not count the ticks of a schedule"}


def test_ticks_that_fell_due_in_peace_show_nothing() -> None:
    found = claims.each_tick_is_one_job(evidence(history=[]))
    assert whats(found) == {"the fault did not bite"}


# Pauses and limits.


def ordered(about: str, kind: Kind, at_ms: int, rate_per_s: float = 0.0, *, lifts: bool = False) -> Line:
    detail = {"about": about, "type": f"chaos.{kind}", "at_ms": at_ms, "rate_per_s": rate_per_s}
    return line(at_ms, "note", claims.ORDERED, **detail, lifts=lifts)


PAUSES = [
    ordered("pause", Kind.THREAD, PAUSE_MS),
    ordered("pause", Kind.STEADY, PAUSE_MS, lifts=True),
    ordered("pause", Kind.THREAD, RESUME_MS, lifts=True),
]


def waited(story: Story, on: str) -> Story:
    return story.tell(Waiting(story.origin, story.job_id, on=on))


def ran(number: int, now_ms: int, kind: Kind) -> Case:
    return at(number, now_ms, kind).claim().run().succeed().case()


@pytest.mark.parametrize(
    ("claimed_ms", "violations"),
    [
        (PAUSE_MS + claims.GETS_ABOUT_MS - 500, 0),
        (PAUSE_MS + claims.GETS_ABOUT_MS + 500, 1),
        (RESUME_MS - 500, 1),
        (RESUME_MS + 500, 0),
    ],
)
def test_a_claim_of_what_is_paused_is_found(claimed_ms: int, violations: int) -> None:
    held = waited(at(1, PAUSE_MS, Kind.THREAD), "pause")
    held.now_ms = RESUME_MS
    cases = [held.claim().run().succeed().case(), ran(2, PAUSE_MS + 5_000, Kind.STEADY)]
    found = claims.nothing_starts_while_it_is_paused(
        evidence(*cases, ran(3, claimed_ms, Kind.THREAD), history=PAUSES)
    )
    assert len(found) == violations
    assert whats(found) <= {"something was claimed while it was paused"}


def test_a_pause_that_held_nothing_or_everything_shows_nothing() -> None:
    nothing_held = evidence(ran(1, PAUSE_MS + 5_000, Kind.STEADY), history=PAUSES)
    nothing_else = evidence(waited(at(1, PAUSE_MS, Kind.THREAD), "pause").case(), history=PAUSES)
    for shown in (nothing_held, nothing_else):
        assert whats(claims.nothing_starts_while_it_is_paused(shown)) == {"the fault did not bite"}


RATE_PER_S = 4


def under_a_limit(*claimed_ms: int, held: bool = True) -> Evidence:
    history = [
        ordered("limit", Kind.STEADY, START_MS, RATE_PER_S),
        ordered("limit", Kind.STEADY, END_MS, RATE_PER_S, lifts=True),
    ]
    cases = [ran(number, at_ms, Kind.STEADY) for number, at_ms in enumerate(claimed_ms, 1)]
    if held:
        cases.append(waited(at(999, END_MS, Kind.STEADY), "limit").case())
    return evidence(*cases, history=history)


def test_ten_seconds_with_more_claims_than_the_limit_are_found() -> None:
    begin_ms = START_MS + claims.GETS_ABOUT_MS
    steady = [begin_ms + number * 1000 // RATE_PER_S for number in range(100)]
    assert claims.limits_are_kept(under_a_limit(*steady)) == []
    assert claims.limits_are_kept(under_a_limit(*steady, *[begin_ms + 5_000] * 2)) == []
    found = claims.limits_are_kept(under_a_limit(*steady, *[begin_ms + 5_000] * 3))
    assert whats(found) == {"more was claimed than a limit allows"}
    # Before it had got about, and when it was lifted.
    free = [START_MS] * 50 + [END_MS + 1] * 50
    assert claims.limits_are_kept(under_a_limit(*steady, *free)) == []
    assert whats(claims.limits_are_kept(under_a_limit(*steady, held=False))) == {"the fault did not bite"}


# Cancels that are ignored.


def ignored(kind: Kind = Kind.STUBBORN) -> Story:
    story = at(1, START_MS, kind, cancel_after_s=0.1).claim().begin()
    story.tell(Cancel(story.origin, story.job_id, "chaos"))
    story.now_ms += 2_000
    return story


def killed() -> Case:
    story = ignored()
    return story.tell(Released(story.origin, story.job_id, 1, "a", "cancelled")).case()


def neighbour(attempt: int = 1) -> Case:
    story = at(2, START_MS).claim().begin()
    story.tell(Released(story.origin, story.job_id, 1, "a", "worker_killed")).retry(after_ms=0)
    case = story.claim(2, "b").run(2).succeed(2, "b").case()
    case.events = [
        one._replace(event=msgspec.structs.replace(claim, attempt=attempt))
        if (claim := case.claims.get(2, (None, None))[1]) is not None and one.event == claim
        else one
        for one in case.events
    ]
    return case


def of_cancels(*cases: Case, alive_s: float = 3.0) -> list[Violation]:
    marks = {(case.effects[0].pid, 5): START_MS / 1000 + alive_s for case in cases}
    seen = evidence(*cases)
    return claims.cancels_are_carried_out(
        Evidence(cases=seen.cases, routes=seen.routes, marks=marks, boot_ms=0.0)
    )


def test_a_worker_that_is_killed_for_a_cancel_and_hands_others_back_is_right() -> None:
    assert of_cancels(killed(), neighbour()) == []


def test_a_worker_that_lives_on_with_cancelled_work_is_found() -> None:
    assert whats(of_cancels(killed(), neighbour(), alive_s=60.0)) == {"cancelled work went on"}


def test_cancelled_work_that_comes_to_its_end_long_after_is_found() -> None:
    story = ignored(Kind.DEAF)
    story.now_ms += 30_000
    case = story._effect("end", 1, "ok", 77).succeed().case()
    assert whats(of_cancels(case, neighbour())) == {"cancelled work went on"}


@pytest.mark.parametrize("end", ["lost", "failed"])
def test_a_neighbour_that_loses_an_attempt_is_found(end: str) -> None:
    story = at(2, START_MS).claim().begin()
    if end == "lost":
        story.lose()
    else:
        story.fail(error_class="lost")
    case = story.retry().claim(2).run(2).succeed(2).case()
    assert whats(of_cancels(killed(), case)) == {"a neighbour of a cancelled job lost an attempt"}


def test_a_hand_back_that_uses_up_an_attempt_is_found() -> None:
    assert whats(of_cancels(killed(), neighbour(attempt=2))) == {"a hand-back used up an attempt"}


def test_cancels_that_killed_nobody_show_nothing() -> None:
    assert whats(of_cancels(neighbour())) == {"the fault did not bite"}
    assert whats(of_cancels(killed())) == {"the fault did not bite"}
