"""What is held for its last seconds: never early, never handed over before it was let go."""

from hypothesis import given
from hypothesis import strategies as st

from core.log import Record, TopicPartition
from services.scheduler.last_stretch import HOLD_MS, LastStretch

TURNS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 1), st.integers(-100, 2 * HOLD_MS)), max_size=6),
        st.integers(0, 1500),
        st.integers(0, 4),
    ),
    max_size=20,
)
"""A turn: records that leave their tiers (partition, due in), time that passes, most that are let go."""


@given(TURNS)
def test_a_partition_is_handed_over_up_to_the_first_record_that_is_held(
    turns: list[tuple[list[tuple[int, int]], int, int]],
) -> None:
    due: dict[tuple[int, int], int] = {}
    stretch = LastStretch(lambda record: due[record.partition, record.offset])
    now_ms, offsets, held, handed = 0, [0, 0], set[tuple[int, int]](), dict[int, int]()
    for leaving, pause_ms, limit in turns:
        records: list[Record] = []
        for partition, due_in_ms in leaving:
            due[partition, offsets[partition]] = now_ms + due_in_ms
            records.append(Record("t", partition, offsets[partition], 0, None, b"v", ()))
            held.add((partition, offsets[partition]))
            offsets[partition] += 1
        going = stretch.take(records, now_ms)
        assert all(not 0 < due[r.partition, r.offset] - now_ms <= HOLD_MS for r in going)
        popped = stretch.pop_due(now_ms, limit)
        assert all(due[r.partition, r.offset] <= now_ms for r in popped)
        assert len(popped) <= limit
        for place, position in stretch.settle([*going, *popped]).items():
            handed[place.partition] = position
        held -= {(r.partition, r.offset) for r in (*going, *popped)}
        for partition, position in handed.items():
            first_held = min((offset for p, offset in held if p == partition), default=offsets[partition])
            assert position <= first_held
        assert len(stretch) == len(held)
        assert stretch.next_due_ms() == min((due[place] for place in held), default=None)
        now_ms += pause_ms
    rest = stretch.pop_due(now_ms + 2 * HOLD_MS, 1000)
    assert {(r.partition, r.offset) for r in rest} == held
    positions = stretch.settle(rest)
    assert all(positions[TopicPartition("t", r.partition)] == offsets[r.partition] for r in rest)


def test_nothing_is_left_of_an_assignment_that_ended() -> None:
    stretch = LastStretch(lambda record: 1000 + record.offset)
    assert stretch.take([Record("t", 0, 7, 0, None, b"v", ())], 0) == []
    stretch.clear()
    assert (len(stretch), stretch.next_due_ms(), stretch.pop_due(10**9, 10)) == (0, None, [])
    assert stretch.take([Record("t", 0, 3, 0, None, b"v", ())], 10**9) != []
