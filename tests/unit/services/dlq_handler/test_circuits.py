"""The keeper of circuits: who says what, from which evidence, and what a failure then means."""

from types import SimpleNamespace
from typing import cast

import msgspec
import pytest

from adapters.memory.appender import MemoryAppender
from adapters.memory.broker import MemoryBroker
from adapters.telemetry.prometheus import PrometheusMeter
from core.breaker import Mode, State, opened
from core.circuit_evidence import STREAK, SUSPECT_STREAK
from core.fault import FaultClass
from core.ledger.open_job import OpenJob
from core.ledger.verdicts import Action, Chosen, Decided, Failed
from core.limits import DemandLog, Limit, Want
from core.log import Coordinate, NewRecord, Record
from core.retry import CIRCUIT_POLICY
from core.retry_budget import BudgetRule, RetryBudgets
from core.subjects import Cause, HeldFor, Scope, Subject
from ports.control import ControlWatch
from ports.demand import DemandWatch
from ports.failpoints import Failpoint, arm
from ports.held_counts import HeldCounts
from ports.log import GroupMember, PartitionReader
from schemas.accepted_job import AcceptedJob, FailedAttempt
from schemas.codec import decode_accepted, decode_control, encode
from schemas.control import CircuitRecord, LimitRecord
from schemas.outcomes import Calls, OutcomeBatch
from schemas.standing_orders import (
    WAITS_ON_CIRCUIT,
    StandingOrders,
    circuit_of_record,
    circuit_record,
    limit_record,
    record_of_circuit,
)
from schemas.topics import RouteMap
from services.dlq_handler.circuits import CircuitKeeper
from services.dlq_handler.decide import Uncarried, Undecided, carried_out, decision, policy_of
from services.dlq_handler.safety import EXCUSED_MAX, is_excused, not_before_told, within_budget

ROUTES = RouteMap(partitions=2, pools=("default",))
RULE = BudgetRule(share=0.1, floor_per_s=1.0, burst=4.0, wait_max_s=50.0)
JOB = AcceptedJob(
    *("e:0:7", "00000000-0000-4000-8000-000000000001", "mail", "acme", "default", msgspec.Raw(b"{}")),
    *(5, 0, 10.0, 3, "0" * 16, "0" * 32),
)
ATTEMPT = FailedAttempt(JOB, "x", "transient", "ConnectionError", "down", 0, uses=("smtp",))
FAILED = Failed(JOB.origin, JOB.job_id, 1, "x", 0, 0.1, "transient", "ConnectionError", "down", 0)


class Kept:
    """One keeper, what it reads, and what it has said."""

    def __init__(self, partitions: frozenset[int] = frozenset({0, 1}), mode: Mode = Mode.ON) -> None:
        self.now_ms = 1_000_000
        self.broker = MemoryBroker(lambda: self.now_ms)
        self.broker.create_topics(ROUTES.specs())
        self.orders, self.demand = StandingOrders(), DemandLog()
        self.member = SimpleNamespace(assignment=SimpleNamespace(partitions=partitions))
        self.meter = PrometheusMeter()
        self.held: int | None = 0
        self.keeper = CircuitKeeper(
            ROUTES,
            MemoryAppender(self.broker),
            cast("PartitionReader", None),
            cast("ControlWatch", SimpleNamespace(orders=self.orders)),
            cast("DemandWatch", SimpleNamespace(log=self.demand)),
            cast("HeldCounts", SimpleNamespace(of=self.held_for)),
            cast("GroupMember", self.member),
            self.meter,
            lambda: self.now_ms,
            RULE,
            mode,
        )

    async def held_for(self, name: str) -> int | None:
        assert name == "limit/type/mail"
        return self.held

    def tell(self, ok: int, bad: int, name: str = "mail") -> None:
        self.now_ms += 1000
        batch = OutcomeBatch("", "", "one", 1, self.now_ms, calls=(Calls(name, ("smtp",), "acme", ok, bad),))
        value = encode(batch)
        self.keeper.take([Record(ROUTES.outcomes, 0, 0, self.now_ms, None, value, ())])

    async def turn(self) -> State:
        await self.keeper.turn()
        return self.state()

    def state(self, name: str = "mail") -> State:
        return circuit_of_record(self.orders.circuits.get(name)).state

    def said(self) -> list[CircuitRecord]:
        records = [decode_control(one) for one in self.broker.records(ROUTES.control)]
        return [one for one in records if isinstance(one, CircuitRecord)]


async def went_down(kept: Kept) -> None:
    kept.tell(30, 0)
    kept.tell(0, STREAK)
    await kept.turn()


async def test_a_streak_of_failures_opens_a_circuit_and_a_probe_lets_it_recover() -> None:
    kept = Kept()
    await went_down(kept)
    assert kept.state() is State.OPEN
    assert kept.said()[-1].uses == ("smtp",)
    assert "20 calls in a row failed" in kept.said()[-1].reason
    kept.now_ms += 5000
    kept.tell(1, 0)
    assert await kept.turn() is State.RECOVERING
    kept.now_ms += 4000
    kept.tell(1, 0)
    await kept.turn()
    assert kept.said()[-1].rate_per_s == 2.0
    for _ in range(40):
        kept.demand.take(kept.now_ms, "one", {"type/mail": Want(0.5)})
        kept.now_ms += 2500
        kept.demand.take(kept.now_ms, "one", {"type/mail": Want(0.5)})
        kept.tell(1, 0)
        if await kept.turn() is State.CLOSED:
            break
    assert kept.state() is State.CLOSED
    # What failed before it was closed does not open it again.
    kept.now_ms += 10_000
    assert await kept.turn() is State.CLOSED


@pytest.mark.parametrize("held", [7, None])
async def test_a_circuit_is_not_closed_while_jobs_are_held_or_nobody_can_count_them(held: int | None) -> None:
    kept = Kept()
    recovering = opened(circuit_of_record(None), 2.0, "", kept.now_ms)._replace(
        state=State.RECOVERING, rate_per_s=2.0
    )
    kept.orders.put_circuit(record_of_circuit("mail", recovering, ()))
    kept.held = held
    for _ in range(6):
        kept.demand.take(kept.now_ms, "one", {"type/mail": Want(0.5)})
        kept.now_ms += 2500
        kept.demand.take(kept.now_ms, "one", {"type/mail": Want(0.5)})
        kept.tell(1, 0)
        await kept.turn()
    assert kept.state() is State.RECOVERING
    assert kept.said()[-1].rate_per_s > 2.0
    kept.held = 0
    for _ in range(3):
        kept.demand.take(kept.now_ms, "one", {"type/mail": Want(0.5)})
        kept.now_ms += 2500
        kept.demand.take(kept.now_ms, "one", {"type/mail": Want(0.5)})
        kept.tell(1, 0)
        await kept.turn()
    assert kept.state() is State.CLOSED


async def test_only_the_owner_of_the_first_partition_says_anything() -> None:
    kept = Kept(frozenset({1}))
    await went_down(kept)
    assert kept.said() == []
    kept.member.assignment = SimpleNamespace(partitions=frozenset({0}))
    assert await kept.turn() is State.OPEN


async def test_who_takes_over_goes_on_from_what_was_said_last() -> None:
    kept, other = Kept(), Kept()
    await went_down(kept)
    other.orders.put_circuit(kept.said()[-1])
    other.now_ms = kept.now_ms + 6000
    assert await other.turn() is State.OPEN
    other.tell(1, 0)
    assert await other.turn() is State.RECOVERING


@pytest.mark.parametrize("point", [Failpoint.CIRCUITS_DUE, Failpoint.CIRCUITS_TOLD])
async def test_a_crash_around_the_word_leaves_it_said_once_or_not_at_all(point: Failpoint) -> None:
    class CrashError(Exception):
        pass

    def crash() -> None:
        raise CrashError

    kept = Kept()
    arm({point: crash})
    try:
        with pytest.raises(CrashError):
            await went_down(kept)
    finally:
        arm({})
    assert len(kept.said()) == (point is Failpoint.CIRCUITS_TOLD)


async def test_switched_off_it_closes_what_is_open_and_opens_nothing() -> None:
    kept = Kept(mode=Mode.OFF)
    kept.orders.put_circuit(record_of_circuit("mail", opened(circuit_of_record(None), 1.0, "", 1), ()))
    await went_down(kept)
    assert kept.state() is State.CLOSED
    await went_down(kept)
    assert kept.state() is State.CLOSED
    assert not kept.keeper.is_open("mail")


async def test_failures_count_again_only_while_what_is_called_looks_up() -> None:
    kept = Kept()
    kept.tell(30, 0)
    kept.tell(0, SUSPECT_STREAK - 1)
    assert not kept.keeper.is_open("mail")
    kept.tell(0, 1)
    # Not open yet, but so it looks: the job that failed now is not the one to pay for it.
    assert kept.keeper.is_open("mail")
    await went_down(kept)
    assert kept.keeper.is_open("mail")
    assert not kept.keeper.is_open("other")


def test_a_failure_is_excused_by_an_open_circuit_unless_the_job_may_be_tried_once() -> None:
    def is_open(name: str) -> bool:
        return name == "mail"

    assert is_excused(FAILED, ATTEMPT, is_open)
    assert not is_excused(FAILED, ATTEMPT, lambda _: False)
    permanent = msgspec.structs.replace(FAILED, error_class="permanent")
    assert not is_excused(permanent, ATTEMPT, is_open)
    bug = msgspec.structs.replace(FAILED, error_type="KeyError")
    assert not is_excused(bug, ATTEMPT, is_open)
    once = msgspec.structs.replace(ATTEMPT, task_max_attempts=1)
    assert not is_excused(FAILED, once, is_open)
    worn = msgspec.structs.replace(JOB, excused=EXCUSED_MAX)
    assert not is_excused(FAILED, msgspec.structs.replace(ATTEMPT, job=worn), is_open)


def test_a_failure_that_does_not_count_leaves_a_worn_out_job_all_its_other_attempts() -> None:
    place = Coordinate(ROUTES.dlq, 0, 0)
    worn = Undecided(FAILED, OpenJob(JOB.job_id, failures=3), place)
    assert decision(worn, ATTEMPT, 1_000_000).action is Action.DEAD
    excused = decision(worn, ATTEMPT, 1_000_000, is_excused=True)
    assert (excused.action, excused.policy, excused.chosen) == (Action.RETRY, CIRCUIT_POLICY, None)
    assert "does not count" in excused.reason

    following = decode_accepted(written(carried_out(held(excused, worn), ATTEMPT, ROUTES, 1_000_000)))
    assert (following.excused, following.attempt, following.n) == (1, 4, 2)
    # Once the circuit is closed: of four failures one did not count.
    later = msgspec.structs.replace(ATTEMPT, job=following)
    assert decision(worn, later, 1_000_000).action is Action.RETRY
    gone = Undecided(FAILED, OpenJob(JOB.job_id, failures=4), place)
    assert decision(gone, later, 1_000_000).action is Action.DEAD


def last_try(attempt: FailedAttempt, verdict: Failed = FAILED, *, failures: int, due_ms: int) -> Decided:
    item = Undecided(verdict, OpenJob(JOB.job_id, failures=failures), Coordinate(ROUTES.dlq, 0, 0))
    chosen = Chosen("rule", "transient", delay_s=(due_ms - 1_000_000) / 1000)
    retry = Decided(
        JOB.origin, JOB.job_id, 1, Action.RETRY, "it failed", due_ms=due_ms, propensity=0.1, chosen=chosen
    )
    return not_before_told(retry, item, attempt, 1_000_000)


def test_the_last_try_comes_late_enough_that_an_outage_would_be_told() -> None:
    allowed = policy_of(ATTEMPT).max_attempts
    quick = last_try(ATTEMPT, failures=allowed - 1, due_ms=1_000_250)
    assert quick.due_ms == 1_003_000
    assert "it is the last" in quick.reason
    assert quick.chosen is not None
    assert (quick.chosen.arm, quick.chosen.delay_s, quick.propensity) == ("rule", 3.0, 0.1)
    assert last_try(ATTEMPT, failures=allowed - 1, due_ms=1_004_000).due_ms == 1_004_000
    assert last_try(ATTEMPT, failures=allowed - 2, due_ms=1_000_250).due_ms == 1_000_250


def test_only_failures_that_count_make_a_try_the_last() -> None:
    allowed = policy_of(ATTEMPT).max_attempts
    excused = msgspec.structs.replace(ATTEMPT, job=msgspec.structs.replace(JOB, excused=1))
    assert last_try(excused, failures=allowed - 1, due_ms=1_000_250).due_ms == 1_000_250
    assert last_try(excused, failures=allowed, due_ms=1_000_250).due_ms == 1_003_000


def test_a_bug_is_tried_for_the_last_time_as_soon_as_the_rule_says() -> None:
    bug = msgspec.structs.replace(FAILED, error_type="KeyError")
    allowed = policy_of(ATTEMPT).max_attempts
    assert last_try(ATTEMPT, bug, failures=allowed - 1, due_ms=1_000_250).due_ms == 1_000_250


def held(decided: Decided, item: Undecided) -> Uncarried:
    due_now = msgspec.structs.replace(decided, due_ms=1_000_000)
    return Uncarried(due_now, 1_000_000, item.job, item.source, FaultClass.TRANSIENT)


def written(record: NewRecord) -> Record:
    return Record(record.topic, record.partition, 0, 1, record.key, record.value, record.headers)


def test_a_retry_beyond_the_budget_waits_for_it_and_one_of_a_circuit_does_not() -> None:
    budgets, now_ms = RetryBudgets(RULE), 1_000_000
    retry = Decided(JOB.origin, JOB.job_id, 1, Action.RETRY, "it failed", due_ms=now_ms + 500)
    due_ms = []
    for _ in range(6):
        within = within_budget(retry, FAILED, ATTEMPT, budgets, now_ms)
        due_ms.append((within.due_ms or 0) - now_ms)
    assert due_ms == [500, 500, 500, 500, 1000, 2000]
    assert "retry budget" in within.reason
    of_circuit = msgspec.structs.replace(retry, policy=CIRCUIT_POLICY)
    assert within_budget(of_circuit, FAILED, ATTEMPT, budgets, now_ms) is of_circuit
    dead = msgspec.structs.replace(retry, action=Action.DEAD, due_ms=None)
    assert within_budget(dead, FAILED, ATTEMPT, budgets, now_ms) is dead


def test_of_an_operators_limit_and_a_circuit_the_smaller_holds_and_neither_lifts_the_other() -> None:
    orders, subject = StandingOrders(), Subject(Scope.TYPE, "mail")
    held_for = HeldFor(Cause.LIMIT, subject)

    def read(key: bytes | None, message: object) -> None:
        orders.take(Record(ROUTES.control, 0, 0, 1, key, encode(message), ()))

    def limit(rate_per_s: float | None) -> None:
        record = LimitRecord(Scope.TYPE, "mail", rate_per_s, 3.0)
        read(limit_record(ROUTES, record).key, record)

    def circuit(state: State, rate_per_s: float) -> None:
        made = opened(circuit_of_record(None), 1.0, "", 1)._replace(state=state, rate_per_s=rate_per_s)
        record = record_of_circuit("mail", made, ())
        read(circuit_record(ROUTES, record).key, record)

    limit(5.0)
    circuit(State.OPEN, 0.2)
    assert orders.limits[subject] == Limit(0.2, 1.0)
    assert orders.waits_on(held_for) == WAITS_ON_CIRCUIT
    circuit(State.RECOVERING, 40.0)
    assert orders.limits[subject] == Limit(5.0, 3.0)
    assert orders.waits_on(held_for) == "limit"
    limit(None)
    assert orders.limits[subject] == Limit(40.0, 10.0)
    limit(5.0)
    circuit(State.CLOSED, 0.0)
    assert orders.limits[subject] == Limit(5.0, 3.0)
    limit(None)
    assert orders.limits == {}


def test_a_circuit_of_one_host_holds_jobs_for_that_host_alone() -> None:
    orders = StandingOrders()
    webhook = msgspec.structs.replace(JOB, type="http.request", payload=msgspec.Raw(b'{"url": "http://a/x"}'))
    other = msgspec.structs.replace(webhook, payload=msgspec.Raw(b'{"url": "http://b/x"}'))
    made = opened(circuit_of_record(None), 1.0, "", 1)
    orders.put_circuit(record_of_circuit("http.request@a", made, ("a",)))
    narrowed = Subject(Scope.TYPE, "http.request@a")
    assert orders.limits_of(webhook) == (narrowed,)
    assert orders.limits_of(other) == ()
    assert orders.limits_of(JOB) == ()
    # As an earlier version reads it: a type that nobody has, and without a limit.
    assert HeldFor.parse(str(HeldFor(Cause.LIMIT, narrowed))).subject == narrowed
