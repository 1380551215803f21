from hypothesis import given
from hypothesis import strategies as st

from core.log import Record, TopicPartition
from core.offsets import OffsetTracker, next_positions


def record(topic: str, partition: int, offset: int) -> Record:
    return Record(topic, partition, offset, 0, None, None, ())


def test_next_positions_are_one_past_the_last_record_of_each_partition() -> None:
    records = [record("a", 0, 4), record("a", 0, 5), record("a", 1, 9), record("b", 0, 1)]
    assert next_positions(records) == {
        TopicPartition("a", 0): 6,
        TopicPartition("a", 1): 10,
        TopicPartition("b", 0): 2,
    }


def test_nothing_may_be_committed_before_the_first_record() -> None:
    assert OffsetTracker().position is None


@given(st.integers(1, 30), st.randoms(use_true_random=False))
def test_the_position_never_passes_an_open_record(count: int, dice: object) -> None:
    tracker = OffsetTracker()
    offsets = [10 + 2 * index for index in range(count)]
    for offset in offsets:
        tracker.add(offset)
    order = list(offsets)
    dice.shuffle(order)  # type: ignore[attr-defined]
    still_open = set(offsets)
    for offset in order:
        assert tracker.position == min(still_open)
        tracker.done(offset)
        still_open.discard(offset)
    assert tracker.position == offsets[-1] + 1
