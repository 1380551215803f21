"""SIGKILL of one process: every service, an executor, the broker, the database."""

import os
import signal
from collections.abc import Callable
from functools import partial

from tests.chaos.rig.process import wait_until
from tests.chaos.scenario import FaultDidNotBiteError, Field, Scenario
from tests.chaos.scenarios.signs import without_acknowledgements

AWAY_S = 3.0
READY_TIMEOUT_S = 60.0


def kill_service(service: str, field: Field) -> None:
    """Kill one instance of a service; it is started again at once and healed when it is ready."""
    name = field.rng.choice([instance.name for instance in field.stack.services.of(service)])
    services = field.stack.services
    with field.fault(f"kill {name}"):
        starts, exits = services[name].starts, len(services[name].exits)
        services.kill(name)
        services.wait_restarted(name, starts)
        if len(services[name].exits) == exits:
            raise FaultDidNotBiteError(f"{name} did not end")


def kill_executor(field: Field) -> None:
    """Kill an executor that runs something; its workers must be gone with it."""
    services = field.stack.services
    name = field.rng.choice([instance.name for instance in services.of("executor")])
    workers = services.worker_pids(name)
    if not workers:
        raise FaultDidNotBiteError(f"{name} has no workers")
    with field.fault(f"kill {name}", workers=len(workers)):
        starts = services[name].starts
        services.kill(name)
        services.wait_restarted(name, starts)


def kill_worker(field: Field) -> None:
    """Kill a worker process that runs jobs; its executor goes on, with another."""
    services = field.stack.services
    name = field.rng.choice([instance.name for instance in services.of("executor")])
    workers = services.worker_pids(name)
    if not workers:
        raise FaultDidNotBiteError(f"{name} has no workers")
    victim = field.rng.choice(workers)
    with field.fault(f"kill worker {victim} of {name}"):
        starts = services[name].starts
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: set(services.worker_pids(name)) - set(workers), "another worker", READY_TIMEOUT_S)
        if services[name].starts > starts:
            raise AssertionError(f"{name} ended with its worker")


def end_service(service: str, field: Field) -> None:
    """End one instance of a service in order; it is started again at once."""
    services = field.stack.services
    name = field.rng.choice([instance.name for instance in services.of(service)])
    with field.fault(f"end {name}"):
        starts = services[name].starts
        code = services.terminate(name)
        if code != 0:
            raise AssertionError(f"{name} was asked to end and did with {code}")
        services.wait_restarted(name, starts)


def replace_executor(field: Field) -> None:
    """Let an executor join, and end another one in order for good."""
    services = field.stack.services
    leaving = field.rng.choice([instance.name for instance in services.of("executor")])
    with field.fault(f"replace {leaving}"):
        services.add("executor")
        services.wait_ready()
        code = services.remove(leaving)
        if code != 0:
            raise AssertionError(f"{leaving} was asked to end and did with {code}")


def kill_broker(field: Field) -> None:
    """Kill the only broker and start it again on the same log after a while."""
    cluster = field.stack.cluster
    broker = field.rng.choice(cluster.brokers)
    with field.fault(f"kill broker {broker.node_id}"):
        broker.kill()
        try:
            without_acknowledgements(field, AWAY_S)
        finally:
            broker.start()
            cluster.wait_ready()
        field.stack.services.wait_ready()


def kill_postgres(field: Field) -> None:
    """Kill the database server and start it again after a while."""
    postgres = field.stack.postgres
    with field.fault("kill postgres"):
        before = field.load.acknowledged
        postgres.kill()
        try:
            field.go_on(AWAY_S)
            wait_until(lambda: field.load.acknowledged > before, "jobs are taken in without the table", 10)
        finally:
            postgres.start()
        field.stack.services.wait_ready()


def _service(service: str, fault: str, summary: str) -> Scenario:
    inject: Callable[[Field], None] = partial(kill_service, service)
    return Scenario(f"{service.replace('_', '-')}-killed", fault, summary, inject, subset=True)


SCENARIOS: tuple[Scenario, ...] = (
    _service("ingest", "kill", "ingest is killed under load; what it had not committed is taken in once."),
    _service("scheduler", "F33", "The scheduler is killed; jobs that wait are released once and not early."),
    _service("prioritizer", "kill", "The prioritizer is killed; no dispatch is lost or run twice."),
    _service("dlq_handler", "F32", "The dlq_handler is killed; every failure is decided once."),
    _service("materializer", "kill", "The materializer is killed; the table ends equal to the fold."),
    Scenario(
        "executor-killed",
        "F20",
        "An executor is killed while jobs run; they run again elsewhere, never beside themselves.",
        kill_executor,
        subset=True,
    ),
    Scenario(
        "worker-killed",
        "F20",
        "A worker process is killed while its jobs run; they fail once each and run again.",
        kill_worker,
        subset=True,
    ),
    Scenario(
        "executor-replaced",
        "F23",
        "An executor joins and another ends in order; what it had not begun is handed back.",
        replace_executor,
        subset=True,
    ),
    Scenario(
        "broker-killed",
        "F2",
        "The only broker is killed and comes back on its log; nothing acknowledged is lost.",
        kill_broker,
        subset=True,
    ),
    Scenario(
        "postgres-killed",
        "F16",
        "Postgres is killed and comes back; jobs flow meanwhile and the table catches up.",
        kill_postgres,
        subset=True,
    ),
)
