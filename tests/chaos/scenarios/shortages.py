"""Services short of memory, CPU or descriptors, and services whose clock is wrong."""

import resource
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from types import MappingProxyType

from adapters.embedded.process_mark import ProcessMark, is_running, mark_of, signal_marked
from core.ledger.verdicts import Claimed
from tests.chaos.effects import number_of_effects
from tests.chaos.evidence import Evidence, Violation
from tests.chaos.history import boot_s
from tests.chaos.rig.clock import TOOLS, WrongClock
from tests.chaos.rig.limits import cpu_limit, memory_limit, oom_kills, throttled
from tests.chaos.rig.process import NotInTimeError, wait_until
from tests.chaos.rig.tools import Tool
from tests.chaos.scenario import FaultDidNotBiteError, Field, Scenario
from tests.chaos.scenarios.attempts import wait_busy, wait_working_again
from tests.chaos.scenarios.executors import BRIEF, LOAD
from tests.chaos.spec import StackSpec
from tests.chaos.stack import SERVICES

MEMORY_BYTES = 4 << 20
"""More than what a process uses when it is limited, since only what it takes from then on counts."""
OOM_TIMEOUT_S = 30.0
CPU_SHARE = 0.01
STARVED_S = 12.0
DESCRIPTORS = 8
"""Numbers a process may give to descriptors; standard streams and its loop have them already."""
EXHAUSTED_S = 8.0
HOURS_S = 7200.0
WRONG_S = 5.0
DRIFT_STEPS = 50
DRIFT_EVERY_S = 0.1


def starve_of_memory(field: Field) -> None:
    """Leave an executor no memory for a new worker until the kernel has killed one of its processes."""
    services = field.stack.services
    name = field.rng.choice([instance.name for instance in services.of("executor")])
    workers = wait_busy(field, name)
    pids = [services[name].process.pid, *(mark.pid for mark in workers)]
    with field.fault(f"no memory for {name}", instance=name), memory_limit(MEMORY_BYTES, pids) as group:
        # Its successor needs more than there is.
        signal_marked(workers[0], signal.SIGKILL)
        try:
            wait_until(lambda: oom_kills(group) > 0, "the kernel kills for want of memory", OOM_TIMEOUT_S)
        except NotInTimeError as error:
            raise FaultDidNotBiteError(str(error)) from error
        field.go_on(EXHAUSTED_S)
        field.history.add("note", "killed for want of memory", count=oom_kills(group))
    wait_working_again(field, name, workers)


def starve_of_cpu(field: Field) -> None:
    """Leave the prioritizer next to no CPU for a while."""
    (instance,) = field.stack.services.of("prioritizer")
    with field.fault("no cpu for the prioritizer", share=CPU_SHARE):
        with cpu_limit(CPU_SHARE, [instance.process.pid]) as group:
            field.go_on(STARVED_S)
            periods = throttled(group)
        if periods < STARVED_S:
            raise FaultDidNotBiteError(f"it had to wait in {periods} periods only")
    field.stack.services.wait_ready()


def starve_of_descriptors(field: Field) -> None:
    """Leave all services no descriptors, and cut what they have: workers, database, broker."""
    services, cluster, postgres = field.stack.services, field.stack.cluster, field.stack.postgres
    name = field.rng.choice([instance.name for instance in services.of("executor")])
    workers = wait_busy(field, name)
    exits = {one.name: len(one.exits) for one in services.instances}
    with field.fault("no descriptors", instance=name):
        with _descriptors(DESCRIPTORS, [one.process.pid for one in services.instances if one.wanted]):
            for mark in workers:
                signal_marked(mark, signal.SIGKILL)
            postgres.kill()
            cluster.brokers[0].kill()
            postgres.start()
            cluster.brokers[0].start()
            cluster.wait_ready()
            field.go_on(EXHAUSTED_S)
            unready = services.unready()
            ended = [one.name for one in services.instances if len(one.exits) > exits[one.name]]
            field.history.add("note", "felt it", unready=",".join(unready), ended=",".join(ended))
            if not unready and not ended:
                raise FaultDidNotBiteError("all services are ready without descriptors for connections")
        services.wait_ready()
    wait_working_again(field, name, workers)


@contextmanager
def _descriptors(count: int, pids: Iterable[int]) -> Iterator[None]:
    """Let processes open no descriptor beyond a number; those that are gone afterwards are skipped."""
    before: list[tuple[ProcessMark, tuple[int, int]]] = []
    try:
        for pid in pids:
            mark = mark_of(pid)
            if mark is None:
                continue
            with suppress(ProcessLookupError):
                soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
                before.append((mark, (soft, hard)))
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (count, hard))
        yield
    finally:
        for mark, limits in before:
            with suppress(ProcessLookupError):
                if is_running(mark):
                    resource.prlimit(mark.pid, resource.RLIMIT_NOFILE, limits)


def move_clocks(field: Field) -> None:
    """Let every service's wall clock jump two hours either way, start in the wrong time, and drift back."""
    services = field.stack.services
    shifts_s = {service: field.rng.choice((-HOURS_S, HOURS_S)) for service in CLOCKS}
    restarted = [services.of(service)[0].name for service in (field.rng.choice(SERVICES), "executor")]
    with field.fault("wrong clocks", executor_s=shifts_s["executor"]):
        try:
            for service, shift_s in shifts_s.items():
                CLOCKS[service].set(shift_s)
            field.go_on(WRONG_S)
            for name in restarted:
                starts = services[name].starts
                services.kill(name)
                services.wait_restarted(name, starts)
            field.go_on(WRONG_S)
            if not _wrong_starts(field):
                raise FaultDidNotBiteError("no worker had a wrong clock")
            for step in range(DRIFT_STEPS):
                for number, service in enumerate(CLOCKS):
                    CLOCKS[service].set(step * DRIFT_EVERY_S * (-1) ** number)
                field.go_on(DRIFT_EVERY_S)
        finally:
            for clock in CLOCKS.values():
                clock.set(0.0)


def _wrong_starts(field: Field) -> int:
    """Count the attempts that began while their worker's clock was hours off."""
    query = """select count(*) from effects where kind = 'start' and at_boot_s > %s
        and abs(at_ms / 1000.0 - at_boot_s - %s) > %s"""
    values = (field.began_boot_s, time.time() - boot_s(), HOURS_S / 2)
    return number_of_effects(field.stack.effects_url, query, *values)


def goes_on_without(service: str, evidence: Evidence) -> list[Violation]:
    """Ask that attempts were claimed while one service was short of something."""
    began, healed = (_at_ms(evidence, event) for event in ("fault", "heal"))
    for case in evidence.cases():
        for event, verdict, _ in case.verdicts:
            if isinstance(verdict, Claimed) and began < event.timestamp_ms < healed:
                return []
    return [Violation("claim", "nothing was claimed", f"while {service} was short")]


def _at_ms(evidence: Evidence, event: str) -> int:
    return next(line.at_ms for line in evidence.history if line.event == event)


CLOCKS: Mapping[str, WrongClock] = MappingProxyType(
    {service: WrongClock(TOOLS / f"clock-of-{service}") for service in (*SERVICES, "executor")}
)
"""One for each service; an executor's workers have its clock."""
MOVABLE = StackSpec(
    services=MappingProxyType({service: clock.environment for service, clock in CLOCKS.items()})
)

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "executor-without-memory",
        "F27",
        "The kernel kills an executor or its workers for want of memory; their work runs again.",
        starve_of_memory,
        BRIEF,
        LOAD,
        needs=frozenset({Tool.ROOT, Tool.CGROUP_MEMORY}),
    ),
    Scenario(
        "prioritizer-without-cpu",
        "F28",
        "The prioritizer gets a hundredth of a CPU; jobs flow slowly, and none is missing.",
        starve_of_cpu,
        BRIEF,
        LOAD,
        needs=frozenset({Tool.ROOT, Tool.CGROUP_CPU}),
        check=partial(goes_on_without, "the prioritizer"),
    ),
    Scenario(
        "descriptors-exhausted",
        "F36",
        "No service may open a descriptor while workers, database and broker restart; all come back.",
        starve_of_descriptors,
        BRIEF,
        LOAD,
        recovery_limit_s=90.0,
    ),
    Scenario(
        "clocks-wrong",
        "F29",
        "The services' wall clocks jump by hours and drift; nothing is early, lost or run twice.",
        move_clocks,
        MOVABLE,
        LOAD,
        needs=frozenset({Tool.WRONG_CLOCK}),
    ),
)
