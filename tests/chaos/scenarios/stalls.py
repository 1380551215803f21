"""Something runs no instruction for a moment that is shorter than a lease: nothing may come of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.chaos.claims import nobody_is_lost
from tests.chaos.load import Load
from tests.chaos.orders import Kind, Mix
from tests.chaos.scenario import FaultDidNotBiteError, Field, Scenario

STALL_S = 3.0
"""Half a lease: with the heartbeats before and after it an executor is never silent for a whole one."""
SETTLE_S = 1.0
BUSY = Mix(kinds={Kind.THREAD: 0.15, Kind.FLAKY: 0.06, Kind.SLOW: 0.15})
"""So that something runs whenever the stall begins."""


@contextmanager
def stalled(pause: Callable[[], None], resume: Callable[[], None]) -> Iterator[None]:
    """Pause, and let go on however the block ends."""
    pause()
    try:
        yield
    finally:
        resume()


def stall_broker(field: Field, seconds: float = STALL_S) -> None:
    """Let the broker run no instruction for a moment; connections stay open."""
    broker = field.rng.choice(field.stack.cluster.brokers)
    with field.fault(f"stall broker {broker.node_id}", seconds=seconds):
        with stalled(broker.pause, broker.resume):
            field.go_on(min(SETTLE_S, seconds / 2))
            before = field.load.acknowledged
            field.go_on(seconds - min(SETTLE_S, seconds / 2))
            if len(field.stack.cluster.brokers) == 1 and field.load.acknowledged > before:
                raise FaultDidNotBiteError("a broker that runs nothing acknowledged records")
        field.stack.services.wait_ready()


def stall_executor(field: Field, seconds: float = STALL_S) -> None:
    """Let an executor, not its workers, run no instruction for a moment."""
    services = field.stack.services
    name = field.rng.choice([instance.name for instance in services.of("executor")])
    with field.fault(f"stall {name}", seconds=seconds):
        with stalled(lambda: services.pause(name), lambda: services.resume(name)):
            if services[name].is_ready:
                raise FaultDidNotBiteError(f"{name} answers although it runs nothing")
            field.go_on(seconds)
        services.wait_ready()


def stall_postgres(field: Field, seconds: float = STALL_S) -> None:
    """Let the database run no instruction for a moment; connections stay open."""
    postgres = field.stack.postgres
    with field.fault("stall postgres", seconds=seconds):
        with stalled(postgres.pause, postgres.resume):
            field.go_on(seconds)
        field.stack.services.wait_ready()


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "executor-stalled",
        "F21",
        "An executor runs nothing for half a lease; no attempt is lost and none runs twice.",
        stall_executor,
        load=Load(mix=BUSY),
        subset=True,
        check=nobody_is_lost,
    ),
    Scenario(
        "broker-stalled",
        "F3",
        "The broker runs nothing for half a lease; no attempt is lost and nothing is sent twice.",
        stall_broker,
        load=Load(mix=BUSY),
        subset=True,
        check=nobody_is_lost,
    ),
)
