from core.log import Record, TopicPartition
from core.wheel import TIER_DELAYS_MS
from services.scheduler.hold import BUFFER_MAX_BYTES, HORIZON_MS, SMALL_RECORDS, Heads

TIER_OF = {"short": 0, "long": 5}
LONG_MS = TIER_DELAYS_MS[5]


def record(topic: str, offset: int, timestamp_ms: int, value: bytes = b"v") -> Record:
    return Record(topic, 0, offset, timestamp_ms, None, value, ())


def held(*records: Record) -> Heads:
    heads = Heads(TIER_OF)
    heads.take(records)
    return heads


def test_records_leave_in_order_when_their_delay_is_over() -> None:
    heads = held(*(record("short", offset, 100 * offset) for offset in range(5)))
    assert heads.pop_due(249, 10) == []
    assert [r.offset for r in heads.pop_due(450, 10)] == [0, 1, 2]
    assert heads.next_leave_ms() == 550


def test_a_long_tier_does_not_block_a_short_one() -> None:
    heads = held(record("long", 0, 0), record("short", 0, 10))
    assert heads.next_leave_ms() == 260
    assert [r.topic for r in heads.pop_due(260, 10)] == ["short"]


def test_a_limit_leaves_the_rest_and_the_longest_overdue_go_first() -> None:
    heads = held(*(record("short", offset, LONG_MS) for offset in range(3)), record("long", 0, 0))
    assert [r.topic for r in heads.pop_due(2 * LONG_MS, 2)] == ["long", "short"]
    assert len(heads) == 2


def test_nothing_held_leaves_never() -> None:
    assert Heads(TIER_OF).next_leave_ms() is None


def test_a_tier_that_reaches_far_ahead_is_paused_until_half_of_the_horizon_is_left() -> None:
    heads = held(*(record("long", offset, 10 * offset) for offset in range(SMALL_RECORDS + 100)))
    place = TopicPartition("long", 0)
    last_leaves_ms = LONG_MS + 10 * (SMALL_RECORDS + 99)
    assert list(heads.to_pause(0)) == [place]
    assert list(heads.to_pause(0)) == [], "once is enough"
    heads.pop_due(LONG_MS + 100, 10)
    assert list(heads.to_resume(last_leaves_ms - HORIZON_MS // 2)) == []
    assert list(heads.to_resume(last_leaves_ms - HORIZON_MS // 2 + 1)) == [place]


def test_a_small_buffer_is_never_paused() -> None:
    heads = held(*(record("long", offset, 0) for offset in range(SMALL_RECORDS - 1)))
    assert list(heads.to_pause(0)) == []


def test_bytes_bound_what_is_held_whatever_leaves_soon() -> None:
    quarter = b"x" * (BUFFER_MAX_BYTES // 4)
    heads = held(*(record("short", offset, 0, quarter) for offset in range(4)))
    assert list(heads.to_pause(0)) == [TopicPartition("short", 0)]
    heads.pop_due(250, 2)
    assert list(heads.to_resume(0)) == []
    heads.pop_due(250, 1)
    assert list(heads.to_resume(0)) == [TopicPartition("short", 0)]


def test_after_a_rebalance_nothing_is_held_or_paused() -> None:
    heads = held(*(record("long", offset, 0) for offset in range(SMALL_RECORDS)))
    heads.to_pause(0)
    heads.clear()
    assert len(heads) == 0
    assert list(heads.to_resume(LONG_MS)) == []
