"""Signs that a fault bites, and that the pipeline goes on in spite of it."""

import random
from pathlib import Path

import psycopg

from tests.chaos.rig.kafka import Broker
from tests.chaos.rig.process import NotInTimeError, wait_until
from tests.chaos.scenario import FaultDidNotBiteError, Field

LOOK_EVERY_S = 0.1
SECONDS_OF_LOAD = 2.0
GO_ON_TIMEOUT_S = 45.0
ON_THE_WAY_STEPS = 8


def wait_for_acknowledgements(field: Field, timeout_s: float = GO_ON_TIMEOUT_S) -> None:
    """Return once two seconds' worth of records was acknowledged from now on.

    Raises
    ------
    NotInTimeError
        The pipeline does not take jobs in.
    """
    enough = field.load.acknowledged + SECONDS_OF_LOAD * field.load.rate_per_s

    def acknowledged() -> bool:
        field.load.check()
        return field.load.acknowledged >= enough

    wait_until(acknowledged, "records are acknowledged", timeout_s, LOOK_EVERY_S)


def wait_for_effects(field: Field, timeout_s: float = GO_ON_TIMEOUT_S) -> None:
    """Return once tasks started from now on.

    Raises
    ------
    NotInTimeError
        Nothing runs.
    """
    with psycopg.connect(field.stack.effects_url, autocommit=True) as connection:

        def last() -> int:
            row = connection.execute(
                "select coalesce(max(seq), 0) from effects where kind = 'start'"
            ).fetchone()
            return 0 if row is None else int(row[0])

        before = last()
        wait_until(lambda: last() > before, "tasks start", timeout_s, LOOK_EVERY_S)


def let_come_in(field: Field, step_s: float) -> float:
    """Let the load run on until nothing was acknowledged for a step, or too long; give how long, s.

    What was acknowledged before a fault is on its way for as long as the driver gets no processor.
    """
    for steps in range(1, ON_THE_WAY_STEPS + 1):
        before = field.load.acknowledged
        field.go_on(step_s)
        if field.load.acknowledged == before:
            return steps * step_s
    return ON_THE_WAY_STEPS * step_s


def without_acknowledgements(field: Field, seconds: float) -> None:
    """Let the load run on; nothing may be acknowledged after what was on its way.

    Raises
    ------
    FaultDidNotBiteError
        Records were acknowledged all the same.
    """
    spent_s = let_come_in(field, min(1.0, seconds / 2))
    before = field.load.acknowledged
    field.go_on(max(seconds - spent_s, seconds / 2))
    if field.load.acknowledged > before:
        raise FaultDidNotBiteError(f"{field.load.acknowledged - before} records were acknowledged")


def ledger_leader(field: Field) -> Broker:
    """Give the broker that leads a partition of the ledger, drawn."""
    routes = field.stack.routes
    return field.stack.cluster.leader_of(routes.ledger, field.rng.randrange(routes.partitions))


def wait_for_another_leader(field: Field, broker: Broker, timeout_s: float = GO_ON_TIMEOUT_S) -> None:
    """Return once a broker that is away leads no partition of the ledger."""
    routes, cluster = field.stack.routes, field.stack.cluster

    def moved() -> bool:
        leaders = {cluster.leader_of(routes.ledger, number) for number in range(routes.partitions)}
        return broker not in leaders

    try:
        wait_until(moved, "other leaders", timeout_s, LOOK_EVERY_S)
    except NotInTimeError as error:
        raise FaultDidNotBiteError(str(error)) from error


def memory_bytes(pid: int) -> int:
    """Give the resident memory of a process; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS")), 0)


def memory_of_services(field: Field) -> dict[str, int]:
    """Give the resident memory of each service process."""
    return {one.name: memory_bytes(one.process.pid) for one in field.stack.services.instances}


def shuffled(rng: random.Random, brokers: tuple[Broker, ...]) -> list[Broker]:
    """Give the brokers in a drawn order."""
    return rng.sample(brokers, len(brokers))
