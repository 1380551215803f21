"""The order gate against the law said the slow way, and the law's promises on any log."""

from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from core.frames import chunks_of, frames_in
from core.gates.fold import Boosts, Effect, Passed, Skips, Waits
from core.gates.order_gate import OrderGate, key_text
from core.states import State
from core.urgency import Urgency
from tests.support.order_logs import (
    KEYS,
    MINUTE_MS,
    TENANT,
    URGENCIES,
    End,
    Entered,
    Event,
    NaiveGate,
    Unblock,
    events,
    key_of,
    likely_logs,
    naive_effects,
    origin,
    record,
    without_notes,
)
from tests.support.verdicts import EPOCH

LOGS = likely_logs() | st.lists(events(), max_size=40)


def effects_of(gate: OrderGate, log: Sequence[Event], start: int = 0) -> list[list[Effect]]:
    return [gate.take(record(start + number, event)) for number, event in enumerate(log)]


@settings(max_examples=500)
@given(LOGS)
def test_the_gate_lets_pass_and_skips_as_the_slow_law_says(log: list[Event]) -> None:
    found = [without_notes(effects) for effects in effects_of(OrderGate(EPOCH), log)]
    assert found == naive_effects(log)


@given(LOGS)
def test_nobody_passes_or_is_skipped_twice_and_of_one_key_one_runs_at_a_time(log: list[Event]) -> None:
    gate, fates, running = OrderGate(EPOCH), Counter[tuple[int, int]](), dict[str, tuple[int, int]]()
    for offset, event in enumerate(log):
        effects = gate.take(record(offset, event))
        if isinstance(event, End):
            for key, (number, n) in list(running.items()):
                if number == event.number and event.n >= n:
                    del running[key]
        if isinstance(event, Entered):
            number, n = running.get(event.key, (-1, 0))
            if number == event.number and n < event.n:
                del running[event.key]
        for effect in effects:
            entered = log[effect.offset]
            assert isinstance(entered, Entered)
            if isinstance(effect, Passed | Skips):
                fates[entered.number, entered.n] += 1
            if isinstance(effect, Passed):
                assert entered.key not in running
                running[entered.key] = (entered.number, entered.n)
    assert max(fates.values(), default=0) <= 1


@given(LOGS)
def test_in_the_end_everybody_who_entered_has_passed_in_the_order_of_entering(log: list[Event]) -> None:
    gate, written = OrderGate(EPOCH), list(log)
    passed: dict[str, list[int]] = {key: [] for key in KEYS}

    def take(event: Event, offset: int) -> None:
        for effect in gate.take(record(offset, event)):
            if isinstance(effect, Passed):
                entered = written[effect.offset]
                assert isinstance(entered, Entered)
                passed[entered.key].append(effect.offset)

    for offset, event in enumerate(log):
        take(event, offset)
    waited = {key: [entry.offset for entry in gate.waiting(key_text(TENANT, key))] for key in KEYS}
    already = {key: len(passed[key]) for key in KEYS}
    while holders := list(gate.holders()):
        entry, blocks = holders[0].entry, holders[0].blocks
        number = entry.place.offset
        event = Unblock(key_of(number), number) if blocks else End(number, ALWAYS_N, State.DEAD)
        written.append(event)
        take(event, len(written) - 1)
    assert {key: passed[key][already[key] :] for key in KEYS} == waited
    assert all(offsets == sorted(offsets) for offsets in waited.values())


ALWAYS_N = 9


@settings(max_examples=300)
@given(LOGS, st.data())
def test_a_gate_restored_at_any_offset_goes_on_as_if_it_had_never_stopped(
    log: list[Event], data: st.DataObject
) -> None:
    whole = OrderGate(EPOCH)
    expected = effects_of(whole, log)
    cut = data.draw(st.integers(0, len(log)))
    first = OrderGate(EPOCH)
    effects_of(first, log[:cut])
    image = first.image()
    effects_of(first, log[cut:], cut)
    restored = OrderGate.restored(EPOCH, frames_in(list(chunks_of(image.frames()))))
    assert restored.next_offset == cut
    assert effects_of(restored, log[cut:], cut) == expected[cut:]
    assert restored.image() == first.image() == whole.image()
    needed = [
        effect.offset for effects in expected[cut:] for effect in effects if not isinstance(effect, Boosts)
    ]
    assert all(offset >= image.keep_from() for offset in needed)


@given(LOGS, st.data())
def test_records_taken_before_change_nothing(log: list[Event], data: st.DataObject) -> None:
    gate = OrderGate(EPOCH)
    effects_of(gate, log)
    before = gate.image()
    start = data.draw(st.integers(0, len(log)))
    assert all(not effects for effects in effects_of(gate, log[start:], start))
    assert gate.image() == before


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.data())
def test_hand_overs_repeated_at_any_later_place_change_nothing_that_is_done(
    numbers: list[int], data: st.DataObject
) -> None:
    """Of a job that ran to its end, every record may come again."""
    gate = OrderGate(EPOCH)
    story: list[Event] = [Entered(number, "a") for number in dict.fromkeys(numbers)]
    story += [End(number, 2, State.SUCCEEDED) for number in dict.fromkeys(numbers)]
    again = data.draw(st.lists(st.sampled_from(story), max_size=20))
    effects = effects_of(gate, [*story, *again])
    passed = [effect for some in effects[: len(story)] for effect in some if isinstance(effect, Passed)]
    assert [effect.offset for effect in passed] == list(range(len(set(numbers))))
    assert all(not some for some in effects[len(story) :])


def test_a_job_that_waits_says_so_and_an_end_that_came_first_makes_its_entering_nothing() -> None:
    gate = OrderGate(EPOCH)
    story: list[Event] = [Entered(0, "a"), Entered(2, "a"), End(4, 1, State.CANCELLED), Entered(4, "a")]
    assert effects_of(gate, story) == [[Passed(0)], [Waits(1, "order")], [], []]
    assert gate.take(record(4, End(0, 3, State.DEAD))) == [Passed(1)]
    assert gate.holder(key_text(TENANT, "a")) is not None
    assert [str(one.entry.place) for one in gate.holders()] == [origin(2)]


@settings(max_examples=300)
@given(st.lists(st.tuples(URGENCIES, st.booleans()), min_size=1, max_size=60))
def test_whoever_holds_a_key_is_as_urgent_as_all_who_wait_for_it_after_few_boosts(
    story: list[tuple[Urgency, bool]],
) -> None:
    """Also while jobs end: the deadline to ten minutes, those further ahead than an hour apart."""
    gate, boosts = OrderGate(EPOCH), Counter[int]()
    since: dict[int, int] = {}
    for offset, (urgency, ends) in enumerate(story):
        holder = gate.holder(key_text(TENANT, "a"))
        if ends and holder is not None:
            event: Event = End(holder.entry.place.offset, 1, State.DEAD)
        else:
            event = Entered(offset * 2, "a", urgency=urgency)
        for effect in gate.take(record(offset, event)):
            boosts[effect.offset] += isinstance(effect, Boosts)
            if isinstance(effect, Waits):
                since[effect.offset] = offset * MINUTE_MS
        holder = gate.holder(key_text(TENANT, "a"))
        for waiting in gate.waiting(key_text(TENANT, "a")):
            assert holder is not None
            assert holder.urgency.priority >= waiting.urgency.priority
            came_ms, deadline_ms = since[waiting.offset], waiting.urgency.deadline_ms
            if deadline_ms is not None and deadline_ms <= came_ms + 50 * MINUTE_MS:
                assert holder.urgency.deadline_ms is not None
                assert holder.urgency.deadline_ms < max(deadline_ms, came_ms) + 10 * MINUTE_MS
    assert max(boosts.values(), default=0) <= 9 + 6


def test_what_is_inherited_stays_when_those_it_came_from_leave() -> None:
    gate = OrderGate(EPOCH)
    low, high = Urgency(1), Urgency(9, 7 * MINUTE_MS)
    story: list[Event] = [
        Entered(0, "a", urgency=low),
        Entered(2, "a", urgency=low),
        Entered(4, "a", urgency=high),
        Entered(6, "a", urgency=Urgency(8)),
        End(4, 1, State.CANCELLED),
        Entered(8, "a", urgency=Urgency(9)),
        End(8, 1, State.CANCELLED),
        End(0, 1, State.SUCCEEDED),
    ]
    found = effects_of(gate, story)
    assert found[2] == [Waits(2, "order"), Boosts(0, high)]
    assert found[3:7] == [[Waits(3, "order")], [], [Waits(5, "order")], []]
    assert found[7] == [Passed(1, inherits=Urgency(8))], "those that left give nothing to who did not have it"


def test_a_dead_job_that_blocks_is_not_boosted_and_comes_back_as_urgent_as_who_waits() -> None:
    gate = OrderGate(EPOCH)
    story: list[Event] = [
        Entered(0, "a", urgency=Urgency(1)),
        End(0, 1, State.DEAD, blocks=True),
        Entered(2, "a", urgency=Urgency(7)),
        Entered(0, "a", 2, urgency=Urgency(1)),
        Entered(4, "a", urgency=Urgency(8)),
    ]
    found = effects_of(gate, story)
    assert found[2:4] == [[Waits(2, "order")], [Passed(3, inherits=Urgency(7))]]
    assert found[4] == [Waits(4, "order"), Boosts(3, Urgency(8))]


def test_the_slow_law_itself_knows_lines_and_blocks() -> None:
    gate = NaiveGate()
    assert gate.take(0, Entered(0, "a")) == [Passed(0)]
    assert gate.take(1, Entered(2, "a")) == []
    assert gate.take(2, End(0, 1, State.DEAD, blocks=True)) == []
    assert gate.take(3, Entered(0, "a", 2)) == [Passed(3)]
    assert gate.take(4, End(0, 2, State.SUCCEEDED)) == [Passed(1)]
