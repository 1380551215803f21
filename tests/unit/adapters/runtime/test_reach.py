"""What readiness says while no broker answers."""

import pytest

from adapters.runtime.reach import UNACKNOWLEDGED_S, BrokerWatch, hindrance
from adapters.telemetry.health import Health


class Broker:
    def __init__(self) -> None:
        self.is_there = True
        self.waiting_s = 0.0

    async def answers(self, timeout_s: float) -> bool:
        return self.is_there


def test_nothing_hinders_a_service_whose_broker_answers_and_takes_records() -> None:
    assert hindrance(0.0, UNACKNOWLEDGED_S - 0.1) is None


@pytest.mark.parametrize(("silent_s", "waiting_s"), [(12.0, 0.0), (0.0, UNACKNOWLEDGED_S), (3.0, 99.0)])
def test_silence_or_an_append_that_waits_hinders_it(silent_s: float, waiting_s: float) -> None:
    assert hindrance(silent_s, waiting_s) is not None


async def test_a_service_is_unready_while_no_broker_answers_and_ready_again_after() -> None:
    broker, health = Broker(), Health()
    health.set_ready()
    watch = BrokerWatch(broker, health)
    broker.is_there = False
    await watch.look()
    assert health.hindrance is not None
    # A step may say so as often as it likes.
    health.set_ready()
    assert health.hindrance is not None
    broker.is_there = True
    await watch.look()
    assert health.hindrance is None


async def test_waiting_for_a_broker_is_no_hang() -> None:
    broker, health = Broker(), Health()
    health._beat_s -= 3600.0
    await BrokerWatch(broker, health).look()
    assert not health.alive
    broker.is_there = False
    await BrokerWatch(broker, health).look()
    assert health.alive
