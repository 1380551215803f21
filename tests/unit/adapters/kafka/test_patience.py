"""Asking while the broker is away."""

import math

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, TopicAuthorizationFailedError

from adapters.kafka import patience
from adapters.kafka.patience import answered


class Broker:
    """Answers once its refusals are used up."""

    def __init__(self, *refusals: KafkaError) -> None:
        self.refusals = list(refusals)
        self.asked = 0

    async def ask(self) -> int:
        self.asked += 1
        if self.refusals:
            raise self.refusals.pop(0)
        return 7


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "ASK_AGAIN_S", 0.0)


async def test_a_service_asks_until_it_is_answered() -> None:
    broker = Broker(KafkaTimeoutError(), KafkaConnectionError(), KafkaTimeoutError())
    assert await answered(broker.ask, "ends", patience_s=math.inf) == 7
    assert broker.asked == 4


async def test_without_patience_the_first_failure_is_the_answer() -> None:
    broker = Broker(KafkaTimeoutError())
    with pytest.raises(KafkaTimeoutError):
        await answered(broker.ask, "ends", patience_s=0.0)
    assert broker.asked == 1


async def test_what_asking_again_cannot_mend_is_raised_at_once() -> None:
    broker = Broker(TopicAuthorizationFailedError("t"))
    with pytest.raises(TopicAuthorizationFailedError):
        await answered(broker.ask, "ends", patience_s=math.inf)
    assert broker.asked == 1
