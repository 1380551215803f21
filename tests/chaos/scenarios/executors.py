"""Executors that freeze, end or lose their broker: leases, drains, and where their work goes on."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient

from core.ledger.verdicts import Claimed, Lost, Released, Succeeded
from core.states import State
from tests.chaos.case import Case
from tests.chaos.checkers.effects import was_cut_off
from tests.chaos.claims import no_service_ended
from tests.chaos.effects import Effect
from tests.chaos.evidence import Evidence, Violation
from tests.chaos.history import Line, boot_s
from tests.chaos.load import Load
from tests.chaos.orders import Kind, Mix
from tests.chaos.scenario import FaultDidNotBiteError, Field, Scenario
from tests.chaos.scenarios.attempts import stopped, wait_busy, wait_gone, wait_working_again, workers_of
from tests.chaos.spec import StackSpec

SESSION_S = 6
"""Of executors, so that a frozen one is out of its group as well."""
DRAIN_GRACE_S = 2
BRIEF = StackSpec(
    slots=32,
    services=MappingProxyType({"executor": {"PENSTOCK_SESSION_TIMEOUT_S": str(SESSION_S)}}),
)
"""A short lease, and slots enough that nothing waits for one when an executor is gone."""
USUAL = StackSpec(
    lease_s=45.0,
    heartbeat_s=3.0,
    services=MappingProxyType({"executor": {"PENSTOCK_DRAIN_GRACE_S": str(DRAIN_GRACE_S)}}),
)
"""The lease and heartbeat a pipeline has by default."""
SLOW_S = (2.0, 9.0)
_KINDS: Mapping[Kind, float] = MappingProxyType(
    {Kind.THREAD: 0.1, Kind.FLAKY: 0.05, Kind.FAILING: 0.02, Kind.SLOW: 0.1, Kind.POISON: 0.01}
)
LOAD = Load(rate_per_s=20, mix=Mix(kinds=_KINDS, slow_s=SLOW_S))
"""Some attempts outlast a lease, so that there is something to cut off."""

SPARE_LOAD = Load(rate_per_s=8, mix=Mix(kinds={**_KINDS, Kind.SLOW: 0.25}, slow_s=SLOW_S))
"""What one executor can do alone, so that nothing waits for a slot."""

FROZEN_S = 10.0
"""Beyond the lease, and beyond the time after which a group puts a silent member out."""
ENOUGH = 3
"""Attempts that run when a fault is begun: one alone may end before the fault is there."""
ELSEWHERE_S = 2.0
BEYOND_LEASE_S = 16.0
STARTED_S = 2.0
"""What was submitted runs by then, with a slot free."""
WITHIN_LEASE_S = 30.0
START_S = 7.0
"""What a broker takes to come up at least, and what a busy machine may add to that."""
CLAIMED_MS = 1000
"""Claims that were on their way when a drain began."""
HAND_BACK_S = 3.0
"""Of a drained executor beyond its grace: closing what ended, handing back the rest. How long it then takes
to close connections is the broker's affair too; exit code 0 says that it kept its own limit."""


def freeze_executor(field: Field) -> None:
    """Stop an executor beyond its lease; its workers must end without it, and it must come back."""
    name = _any_executor(field)
    workers = wait_busy(field, name, at_least=ENOUGH)
    with field.fault(f"freeze {name}", instance=name), stopped([field.stack.services[name].process.pid]):
        wait_gone(workers, f"the workers of {name} end with their lease", field.stack.spec.lease_s + 1)
        field.go_on(FROZEN_S - field.stack.spec.lease_s)
    wait_working_again(field, name, workers)


def freeze_worker(field: Field) -> None:
    """Stop a worker beyond its lease; it must end by it, and another one takes its place."""
    name = _any_executor(field)
    workers = wait_busy(field, name, at_least=ENOUGH)
    with field.fault(f"freeze a worker of {name}", instance=name), stopped([one.pid for one in workers]):
        wait_gone(workers, "a frozen worker ends with its lease", field.stack.spec.lease_s + 1)
    wait_working_again(field, name, workers)


def freeze_both(field: Field) -> None:
    """Stop an executor and its workers in one moment, as a frozen machine does."""
    name = _any_executor(field)
    workers = wait_busy(field, name, at_least=ENOUGH)
    pids = [*(one.pid for one in workers), field.stack.services[name].process.pid]
    with field.fault(f"freeze {name} and its workers", instance=name), stopped(pids):
        wait_gone(workers, f"the workers of {name} end with their lease", field.stack.spec.lease_s + 1)
        field.go_on(FROZEN_S - field.stack.spec.lease_s)
    wait_working_again(field, name, workers)


def kill_for_good(field: Field) -> None:
    """Kill an executor and start no successor until its work must have gone on elsewhere."""
    name, services = _any_executor(field), field.stack.services
    wait_busy(field, name, at_least=2)
    with field.fault(f"kill {name} for good", instance=name):
        services.hold_down(name)
        try:
            field.go_on(field.stack.spec.lease_s + ELSEWHERE_S)
        finally:
            services.revive(name)
    services.wait_ready()


def drain(field: Field) -> None:
    """End an executor in order while attempts run that take longer than its grace."""
    name, services = _any_executor(field), field.stack.services
    workers = wait_busy(field, name, at_least=ENOUGH)
    with field.fault(f"drain {name}", instance=name):
        began_s = boot_s()
        code = services.remove(name)
        took_s = boot_s() - began_s
        field.history.add("note", "drained", instance=name, exit_code=str(code), took_s=took_s)
        left = _members(field)
        field.history.add("note", "group after the drain", instance=name, members=",".join(left))
        wait_gone(workers, f"the workers of {name} are gone", 1.0)
        services.add("executor")
    services.wait_ready()


def broker_away(field: Field) -> None:
    """Take the broker away for longer than a lease: no worker may outlive it."""
    services, lease_s = field.stack.services, field.stack.spec.lease_s
    executors = [instance.name for instance in services.of("executor")]
    # Of what the load has running, all may end within the lease.
    for _ in executors:
        field.load.also(Kind.SLOW, BEYOND_LEASE_S)
    field.go_on(STARTED_S)
    workers = [mark for name in executors for mark in wait_busy(field, name)]
    with field.fault("broker away"):
        with _without_broker(field, BEYOND_LEASE_S):
            wait_gone(workers, "all workers end with their lease", lease_s + 1)
        services.wait_ready()
    for name in executors:
        wait_working_again(field, name, workers)


def broker_away_briefly(field: Field) -> None:
    """Take the broker away for less than a lease: no executor and no worker may notice."""
    services = field.stack.services
    workers = {one.name: wait_busy(field, one.name) for one in services.of("executor")}
    with field.fault("broker away briefly"):
        began_s = boot_s()
        with _without_broker(field, WITHIN_LEASE_S - max(START_S, field.stack.servers_took_s)):
            pass
        away_s = boot_s() - began_s
        services.wait_ready()
    if away_s > (limit_s := WITHIN_LEASE_S + START_S):
        raise FaultDidNotBiteError(f"the broker was away for {away_s:.0f} s, more than {limit_s:.0f} s")
    field.history.add("note", "broker back", away_s=away_s)
    for name, before in workers.items():
        kept = workers_of(field, name) == before
        field.history.add("note", "workers", instance=name, kept="yes" if kept else "no")


@contextmanager
def _without_broker(field: Field, seconds: float) -> Iterator[None]:
    """Kill the only broker for so long, and wait until it is back on its log."""
    cluster = field.stack.cluster
    until_s, before = boot_s() + seconds, field.load.acknowledged
    cluster.brokers[0].kill()
    try:
        yield
        field.go_on(max(0.0, until_s - boot_s()))
        if field.load.acknowledged > before + field.load.rate_per_s:
            raise FaultDidNotBiteError("records are acknowledged without a broker")
    finally:
        cluster.brokers[0].start()
        cluster.wait_ready()


def _any_executor(field: Field) -> str:
    return field.rng.choice([instance.name for instance in field.stack.services.of("executor")])


def _members(field: Field) -> list[str]:
    """Name the members of the executors' group, as the broker knows them now."""
    group = field.stack.routes.group("executor.default")

    async def ask(admin: AIOKafkaAdminClient) -> list[str]:
        (answer,) = await admin.describe_consumer_groups([group])
        members: list[tuple[Any, ...]] = answer.groups[0][5]
        return [str(member[0]) for member in members]

    return field.stack.cluster.ask(ask)


class Cut(NamedTuple):
    """An attempt that began before a fault was over, and whose outcome nobody learned."""

    case: Case
    dispatch: int
    next_start: Effect | None
    """Of the job's next dispatch."""


def cut_off(evidence: Evidence) -> list[Cut]:
    """Give the attempts of the faulty instance (of all, when the fault names none) that were cut off.

    Some of them may have come to their end, in a worker that outlived its executor for a while.
    """
    fault, heal = _line(evidence, "fault"), _line(evidence, "heal")
    instance = fault.detail.get("instance")
    found: list[Cut] = []
    for case in evidence.cases():
        starts = {one.dispatch: one for one in case.effects if one.kind == "start"}
        for n, start in starts.items():
            claim = case.claims.get(n)
            is_its = claim is not None and (not instance or claim[1].executor.startswith(f"{instance}:"))
            if is_its and start.at_boot_s < heal.at_boot_s and was_cut_off(case, n):
                found.append(Cut(case, n, starts.get(n + 1)))
    return found


def runs_once_more(evidence: Evidence) -> list[Violation]:
    """Ask that something was cut off, and that all of it was begun again unless its job had ended."""
    cuts = cut_off(evidence)
    if not cuts:
        return [Violation("claim", "no attempt was cut off", "the fault did not bite")]
    return [
        Violation("claim", "what was cut off was not begun again", _place(cut))
        for cut in cuts
        if cut.next_start is None and cut.case.state is State.SUCCEEDED and not _succeeded_late(cut)
    ]


def _succeeded_late(cut: Cut) -> bool:
    """Tell whether the attempt's own success came after its loss, and before anybody began again."""
    return any(
        isinstance(verdict, Succeeded) and verdict.n == cut.dispatch for _, verdict, _ in cut.case.verdicts
    )


def starts_elsewhere_in_time(lease_s: float, evidence: Evidence) -> list[Violation]:
    """Ask that what a killed executor ran starts again within its lease and a little."""
    killed_s = _line(evidence, "fault").at_boot_s
    limit_s = lease_s + ELSEWHERE_S
    late = [
        Violation(
            "claim", f"cut off and begun again after {after_s:.1f} s (limit {limit_s:.0f} s)", _place(cut)
        )
        for cut in cut_off(evidence)
        if cut.next_start is not None and (after_s := cut.next_start.at_boot_s - killed_s) > limit_s
    ]
    return [*runs_once_more(evidence), *late]


def hands_back_in_time(evidence: Evidence) -> list[Violation]:
    """Ask that a drained executor claims no more, hands back within its grace and leaves its group."""
    fault, done = _line(evidence, "fault"), _line(evidence, "note", "drained")
    left = _line(evidence, "note", "group after the drain")
    instance = str(fault.detail["instance"])
    limit_ms = fault.at_ms + 1000 * (DRAIN_GRACE_S + HAND_BACK_S)
    found = [*_handed_back(evidence, instance, fault.at_ms, limit_ms)]
    if done.detail["exit_code"] != "0":
        found.append(Violation("claim", f"a drain ended with {done.detail['exit_code']}", instance))
    if instance in str(left.detail["members"]):
        found.append(Violation("claim", "a drained executor is still in its group", str(left.detail)))
    return found


def _handed_back(evidence: Evidence, instance: str, asked_ms: int, limit_ms: float) -> Iterator[Violation]:
    count = 0
    for case in evidence.cases():
        for event, verdict, _ in case.verdicts:
            if not isinstance(verdict, Claimed | Released) or not verdict.executor.startswith(f"{instance}:"):
                continue
            place = (
                f"job {case.job_id}, dispatch {verdict.n}, {event.timestamp_ms - asked_ms} ms after the word"
            )
            count += isinstance(verdict, Released)
            if isinstance(verdict, Claimed) and event.timestamp_ms > asked_ms + CLAIMED_MS:
                yield Violation("claim", "a drained executor goes on claiming", place)
            if isinstance(verdict, Released) and event.timestamp_ms > limit_ms:
                yield Violation("claim", "a drained executor hands back late", place)
    if not count:
        yield Violation("claim", "nothing was handed back", "the fault did not bite")


def nobody_was_lost(evidence: Evidence) -> list[Violation]:
    """Ask that no claim was lost, no worker was replaced and no service ended."""
    found = [
        Violation("claim", f"dispatch {verdict.n} was declared lost", f"job {case.job_id}: {verdict.reason}")
        for case in evidence.cases()
        for _, verdict, _ in case.verdicts
        if isinstance(verdict, Lost)
    ]
    found += no_service_ended(evidence)
    for line in evidence.history:
        if line.what == "workers" and line.detail["kept"] != "yes":
            found.append(Violation("claim", "workers were replaced", f"{line.detail}"))
    return found


def _line(evidence: Evidence, event: str, what: str = "") -> Line:
    return next(one for one in evidence.history if one.event == event and what in one.what)


def _place(cut: Cut) -> str:
    return f"job {cut.case.job_id}, dispatch {cut.dispatch}, {cut.case.state}"


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "executor-frozen",
        "F21",
        "An executor stops beyond its lease; its workers end without it and its work runs elsewhere.",
        freeze_executor,
        BRIEF,
        LOAD,
        check=runs_once_more,
    ),
    Scenario(
        "worker-frozen",
        "F21",
        "A worker stops beyond its lease; it ends by it and its jobs run again in another one.",
        freeze_worker,
        BRIEF,
        LOAD,
        check=runs_once_more,
    ),
    Scenario(
        "executor-and-worker-frozen",
        "F21",
        "An executor and its workers stop beyond the lease; nothing runs beside itself when they wake.",
        freeze_both,
        BRIEF,
        LOAD,
        check=runs_once_more,
    ),
    Scenario(
        "executor-gone",
        "F20",
        "An executor is killed for good; what it ran starts elsewhere within its lease and two seconds.",
        kill_for_good,
        BRIEF,
        SPARE_LOAD,
        check=partial(starts_elsewhere_in_time, BRIEF.lease_s),
    ),
    Scenario(
        "broker-away-beyond-lease",
        "F5",
        "The broker is away for longer than a lease: every lease ends, and work runs once more.",
        broker_away,
        BRIEF,
        LOAD,
        check=runs_once_more,
    ),
    Scenario(
        "broker-away-within-lease",
        "F5",
        "The broker is away for 30 s of the usual lease of 45 s: nobody is lost and nothing is replaced.",
        broker_away_briefly,
        USUAL,
        LOAD,
        check=nobody_was_lost,
    ),
    Scenario(
        "executor-drained",
        "drain",
        "An executor with the usual lease is drained; it hands back within its grace and is gone at once.",
        drain,
        USUAL,
        LOAD,
        check=hands_back_in_time,
    ),
)
