"""Which starts go to the oldest job."""

import math

from core.head_order import Turn
from core.learning.starts import StartGuard, turn


def test_a_share_of_the_slots_is_for_the_oldest() -> None:
    guard = StartGuard(oldest_share=0.1)
    assert turn(guard, 40, oldest_running=3, started=1, oldest_wait_s=0) is Turn.OLDEST
    assert turn(guard, 40, oldest_running=4, started=1, oldest_wait_s=0) is Turn.BEST


def test_too_few_slots_give_every_so_manyth_start_to_the_oldest() -> None:
    guard = StartGuard(oldest_share=0.1)
    turns = [turn(guard, 4, oldest_running=0, started=n, oldest_wait_s=0) for n in range(100)]
    assert turns.count(Turn.OLDEST) == 10


def test_who_has_waited_too_long_is_next_whatever_is_free() -> None:
    guard = StartGuard(oldest_share=0.0, max_wait_s=600)
    assert turn(guard, 100, oldest_running=99, started=1, oldest_wait_s=601) is Turn.OLDEST
    assert turn(guard, 100, oldest_running=0, started=0, oldest_wait_s=600) is Turn.BEST


def test_without_a_share_and_a_longest_wait_scores_alone_decide() -> None:
    guard = StartGuard(oldest_share=0.0)
    assert turn(guard, 100, oldest_running=0, started=0, oldest_wait_s=math.inf) is Turn.BEST


def test_the_share_waits_until_the_oldest_has_waited_long_enough() -> None:
    guard = StartGuard(oldest_share=0.1, max_wait_s=600, patience_s=300)
    assert turn(guard, 40, oldest_running=0, started=1, oldest_wait_s=299) is Turn.BEST
    assert turn(guard, 40, oldest_running=0, started=1, oldest_wait_s=300) is Turn.OLDEST
    assert turn(guard, 40, oldest_running=4, started=1, oldest_wait_s=300) is Turn.BEST
    assert turn(guard, 4, oldest_running=0, started=9, oldest_wait_s=299) is Turn.BEST
    assert turn(guard, 4, oldest_running=0, started=9, oldest_wait_s=300) is Turn.OLDEST
