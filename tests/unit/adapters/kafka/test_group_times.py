import pytest

from adapters.kafka.fetch_apart import FETCH_MAX_WAIT_MS
from adapters.kafka.group import rebalance_timeout_ms, request_timeout_ms
from adapters.kafka.reader import REQUEST_TIMEOUT_MS


@pytest.mark.parametrize("session_timeout_s", [1.0, 6.0, 30.0, 300.0])
def test_a_request_to_join_may_take_as_long_as_a_rebalance(session_timeout_s: float) -> None:
    assert request_timeout_ms(session_timeout_s) > rebalance_timeout_ms(session_timeout_s)


def test_a_broker_that_is_cut_off_is_given_up_long_before_a_session_ends() -> None:
    assert FETCH_MAX_WAIT_MS < REQUEST_TIMEOUT_MS <= request_timeout_ms(30.0) <= 15_000
