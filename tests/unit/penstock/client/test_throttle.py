"""A producer that is refused holds back by itself, and lets go again when it is taken from."""

import random

import pytest

from penstock.client.errors import InvalidJob, NotConnected, NotSent, Throttled
from penstock.client.throttle import WINDOW_S, Throttle, refusal_share


class Caller:
    def __init__(self, k: float | None) -> None:
        self.now_s = 0.0
        self.throttle = Throttle(k, lambda: self.now_s, random.Random(7).random)
        self.sent = self.held_back = 0

    def call(self, count: int, error: Exception | None = None) -> None:
        for _ in range(count):
            self.now_s += 0.05
            try:
                with self.throttle.asked():
                    self.sent += 1
                    if error is not None:
                        raise error
            except Throttled:
                self.held_back += 1
            except NotConnected:
                pass


def test_the_share_is_that_of_the_book() -> None:
    assert refusal_share(0, 0, 2.0) == 0
    assert refusal_share(100, 50, 2.0) == 0
    assert refusal_share(100, 0, 2.0) == 100 / 101
    assert refusal_share(100, 25, 2.0) == 50 / 101


def test_nothing_is_held_back_while_half_is_taken() -> None:
    caller = Caller(2.0)
    for _ in range(200):
        caller.call(1)
        caller.call(1, NotConnected("away"))
    assert caller.held_back == 0


def test_nearly_everything_is_held_back_while_nothing_is_taken_and_all_goes_when_it_is() -> None:
    caller = Caller(2.0)
    caller.call(100)
    caller.call(2000, NotConnected("away"))
    caller.sent = caller.held_back = 0
    caller.call(400, NotConnected("away"))
    assert caller.held_back > 300
    assert caller.sent > 0
    caller.call(int(WINDOW_S / 0.05) * 10)
    caller.sent = caller.held_back = 0
    caller.call(200)
    assert caller.held_back == 0


def test_what_is_held_back_says_so_and_is_a_submit_that_was_not_sent() -> None:
    caller = Caller(1.0)
    caller.call(500, NotConnected("away"))
    throttle = Throttle(1.0, lambda: 0.0, lambda: 0.0)
    with pytest.raises(NotConnected), throttle.asked():
        raise NotConnected("away")
    with pytest.raises(NotSent, match=r"acknowledged 0 of 1 .* held back here") as refused, throttle.asked():
        pass
    assert isinstance(refused.value, Throttled)


def test_a_job_that_is_no_job_says_nothing_of_kafka() -> None:
    throttle = Throttle(2.0, lambda: 0.0, lambda: 0.0)
    for _ in range(50):
        with pytest.raises(InvalidJob), throttle.asked():
            raise InvalidJob("no type")
    with throttle.asked():
        pass


def test_without_it_nothing_is_counted() -> None:
    caller = Caller(None)
    caller.call(500, NotConnected("away"))
    assert caller.held_back == 0


@pytest.mark.parametrize("k", [0.0, 0.5, float("nan")])
def test_a_multiplier_below_one_makes_no_sense(k: float) -> None:
    with pytest.raises(ValueError, match="throttle_k"):
        Throttle(k)
