"""The broker's time as a process estimates it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.kafka import clock as module
from adapters.kafka.clock import STEP_BACK_MS, BrokerClock

T_MS = 1_790_000_000_000


class Boot:
    """A boot clock that is moved by hand."""

    def __init__(self) -> None:
        self.ms = 5_000.0


@pytest.fixture
def boot(monkeypatch: pytest.MonkeyPatch) -> Boot:
    made = Boot()
    monkeypatch.setattr(module, "boot_ms", lambda: made.ms)
    return made


def test_nothing_is_known_before_the_first_append(boot: Boot) -> None:
    clock = BrokerClock()
    assert not clock.is_set
    with pytest.raises(RuntimeError, match="not known before the first append"):
        clock.now_ms()
    clock.observe(T_MS)
    boot.ms += 70
    assert clock.now_ms() == T_MS + 70


def test_an_old_record_read_late_says_nothing_new(boot: Boot) -> None:
    clock = BrokerClock()
    clock.observe(T_MS, boot.ms)
    clock.observe(T_MS - 3_600_000)
    assert clock.now_ms() == T_MS


def test_a_clock_of_ours_that_is_too_fast_is_put_right_by_the_next_append(boot: Boot) -> None:
    clock = BrokerClock()
    clock.observe(T_MS, boot.ms)
    boot.ms += 3_600_000
    sent_ms, boot.ms = boot.ms, boot.ms + 4
    clock.observe(T_MS + 3_599_900, sent_ms)
    assert clock.now_ms() == T_MS + 3_599_900
    sent_ms, boot.ms = boot.ms, boot.ms + 5000
    clock.observe(T_MS + 3_599_850, sent_ms)
    assert clock.now_ms() == T_MS + 3_599_851 + 5000 - STEP_BACK_MS, "a slow answer makes nothing late"


def test_a_right_estimate_is_not_set_back_by_append_times_that_are_rounded_down(boot: Boot) -> None:
    clock = BrokerClock()
    boot.ms = 5000.9
    clock.observe(T_MS, boot.ms)
    sent_ms, boot.ms = 6000.8, 6400.0
    clock.observe(T_MS + 999, sent_ms)
    assert clock.now_ms() == int(T_MS + 6400.0 - 5000.9)


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 500), st.integers(0, 500)), min_size=1))
def test_right_after_an_append_the_estimate_is_within_the_time_it_took(
    appends: list[tuple[int, int, int]],
) -> None:
    """Whatever the clocks did before: rates of the two differ, and the broker's may be set back."""
    ours = Boot()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "boot_ms", lambda: ours.ms)
        clock, broker_ms = BrokerClock(), T_MS
        for pause_ms, there_ms, back_ms in appends:
            ours.ms += pause_ms
            broker_ms += pause_ms - pause_ms // 100 - 3
            sent_ms = ours.ms
            ours.ms += there_ms + back_ms
            appended_ms = broker_ms + there_ms
            broker_ms = appended_ms + back_ms
            clock.observe(appended_ms, sent_ms)
            assert broker_ms - there_ms - back_ms - 1 <= clock.now_ms() <= broker_ms + there_ms + 1
