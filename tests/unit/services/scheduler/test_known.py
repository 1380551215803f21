"""How much the remembered ids and keys take."""

import logging
import uuid

import pytest

from core.gates.id_gate import RENEWAL_BYTES, IdGate, Submission
from ports.meter import Metric
from schemas.topics import RouteMap
from services.scheduler.admit import Admitter
from services.scheduler.known import KEPT_TURNS, WARN_EVERY_TURNS, KnownKeys

KEYS = 5000


class Gauges:
    """A meter that remembers gauges."""

    def __init__(self) -> None:
        self.values: dict[Metric, float] = {}

    def count(self, metric: Metric, amount: float = 1, **labels: str) -> None: ...

    def observe(self, metric: Metric, value: float, **labels: str) -> None: ...

    def gauge(self, metric: Metric, value: float, **labels: str) -> None:
        self.values[metric] = value


@pytest.fixture
def meter() -> Gauges:
    return Gauges()


@pytest.fixture
def admitter(meter: Gauges) -> Admitter:
    """Two gates that know as many keys each."""
    made = Admitter(RouteMap(partitions=2), meter, lambda: 0, "e", 1000)
    for partition in (0, 1):
        for number in range(KEYS):
            name = str(uuid.UUID(int=number))
            made.gate(partition).ask(number, Submission(name, f"e:0:{number}", 0, "0" * 16, "t", "k"))
    return made


def watch(admitter: Admitter, meter: Gauges, owned: set[int], spilled: int = 0) -> KnownKeys:
    return KnownKeys(admitter, lambda: owned, meter, lambda: spilled)


def test_keys_and_their_memory_are_measured(admitter: Admitter, meter: Gauges) -> None:
    watch(admitter, meter, {0}).turn()
    assert meter.values[Metric.KNOWN_KEYS] == 2 * KEYS
    assert 57 <= meter.values[Metric.KNOWN_KEYS_BYTES] / (2 * KEYS) <= 120
    assert meter.values[Metric.SPILLED_KEYS] == 0


def test_gates_of_others_that_stand_still_go_when_memory_is_short(admitter: Admitter, meter: Gauges) -> None:
    own = admitter.gate(0)
    one = watch(admitter, meter, {0}, spilled=7)
    for _ in range(KEPT_TURNS):
        one.turn()
        assert len(admitter.gates) == 2
    admitter.gate(1).skip(KEYS)
    one.turn()
    assert len(admitter.gates) == 2, "it moves: it is being restored"
    for _ in range(KEPT_TURNS):
        one.turn()
    assert dict(admitter.gates) == {0: own}


def test_gates_of_others_are_kept_while_there_is_room(admitter: Admitter, meter: Gauges) -> None:
    one = watch(admitter, meter, {0})
    for _ in range(3 * KEPT_TURNS):
        one.turn()
    assert len(admitter.gates) == 2


def test_the_log_warns_now_and_then_of_keys_that_are_looked_up_on_disk(
    admitter: Admitter, meter: Gauges, caplog: pytest.LogCaptureFixture
) -> None:
    one = watch(admitter, meter, {0, 1}, spilled=7)
    with caplog.at_level(logging.WARNING):
        for _ in range(WARN_EVERY_TURNS + 1):
            one.turn()
    assert meter.values[Metric.SPILLED_KEYS] == 7
    assert len(caplog.records) == 2
    assert "7 of 10000 known ids and keys" in caplog.text


def test_a_key_used_again_after_its_window_counts() -> None:
    gate = IdGate("e", 10)
    name = str(uuid.UUID(int=1))
    for number in range(5):
        gate.ask(number, Submission(name, f"e:0:{number}", 10 * number, "0" * 16, "t", "k"))
    assert len(gate) == 1
    assert gate.size_bytes >= 4 * RENEWAL_BYTES
