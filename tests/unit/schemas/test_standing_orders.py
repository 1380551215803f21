"""What operators ordered: the newest word about each subject holds."""

from typing import NamedTuple

import pytest

from core.limits import Limit
from core.log import Record
from core.subjects import Cause, HeldFor, Scope, Subject
from schemas.codec import encode
from schemas.control import DrainRecord, EpochRecord, LimitRecord, PauseRecord
from schemas.standing_orders import StandingOrders, limit_record, pause_record
from schemas.topics import RouteMap

ROUTES = RouteMap()
TYPE = Subject(Scope.TYPE, "email.send")


class Job(NamedTuple):
    type: str = "email.send"
    tenant: str = "acme"
    pool: str = "default"
    circuit: str = "email.send"


def read(orders: StandingOrders, key: bytes, message: object, at_ms: int = 1) -> bool:
    return orders.take(Record(ROUTES.control, 0, 0, at_ms, key, encode(message), ()))


def pause(orders: StandingOrders, subject: Subject, at_ms: int = 1, *, paused: bool = True) -> None:
    record = pause_record(ROUTES, PauseRecord(subject.scope, subject.name, paused))
    assert read(
        orders, record.key or b"", PauseRecord(subject.scope, subject.name, paused, reason="x"), at_ms
    )


def test_the_last_word_about_draining_counts() -> None:
    orders = StandingOrders()
    assert not read(orders, b"epoch", EpochRecord("e", 4, 1, 0))
    for instance, draining in (("a", True), ("b", True), ("a", False)):
        assert read(orders, f"drain/{instance}".encode(), DrainRecord(instance, draining))
    assert orders.drains == {"a": False, "b": True}


@pytest.mark.parametrize(
    "subject", [TYPE, Subject(Scope.TENANT, "acme"), Subject(Scope.POOL, "default")], ids=str
)
def test_a_job_is_held_for_whatever_of_its_subjects_is_paused(subject: Subject) -> None:
    orders = StandingOrders()
    assert orders.pause_of(Job()) is None
    pause(orders, subject)
    assert orders.pause_of(Job()) == HeldFor(Cause.PAUSE, subject)
    assert orders.pause_of(Job("other", "other", "other")) is None
    pause(orders, subject, paused=False)
    assert orders.pause_of(Job()) is None


def test_a_pause_said_twice_began_when_it_was_said_first() -> None:
    orders = StandingOrders()
    pause(orders, TYPE, 5)
    pause(orders, TYPE, 9)
    assert orders.pauses[TYPE].since_ms == 5
    pause(orders, TYPE, 10, paused=False)
    pause(orders, TYPE, 12)
    assert orders.pauses[TYPE].since_ms == 12


def test_limits_of_a_type_and_a_tenant_hold_together_until_taken_away() -> None:
    orders = StandingOrders()
    for scope, name, rate in ((Scope.TYPE, "email.send", 50.0), (Scope.TENANT, "acme", 5.0)):
        limit = LimitRecord(scope, name, rate, 2.0)
        assert read(orders, limit_record(ROUTES, limit).key or b"", limit)
    assert set(orders.limits_of(Job())) == {TYPE, Subject(Scope.TENANT, "acme")}
    assert orders.limits_of(Job(tenant="other")) == (TYPE,)
    assert orders.limits[TYPE] == Limit(50.0, 2.0)
    read(orders, b"limit/type/email.send", LimitRecord(Scope.TYPE, "email.send", None))
    assert orders.limits_of(Job(tenant="other")) == ()


def test_a_pool_has_no_limit() -> None:
    with pytest.raises(ValueError, match="slots"):
        limit_record(ROUTES, LimitRecord(Scope.POOL, "default", 1.0))


@pytest.mark.parametrize("name", ["email.send", "a/b", "/", "ä ö", "pause/type/x"])
def test_what_a_job_is_held_for_reads_back_as_it_was_written(name: str) -> None:
    held_for = HeldFor(Cause.LIMIT, Subject(Scope.TENANT, name))
    assert HeldFor.parse(str(held_for)) == held_for
