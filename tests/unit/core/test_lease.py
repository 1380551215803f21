from core.lease import Lease, margin_s


def test_a_lease_never_confirmed_does_not_hold() -> None:
    assert not Lease(45.0).check(0.0)


def test_a_lease_counts_from_before_its_heartbeat_was_sent() -> None:
    lease = Lease(45.0)
    lease.confirm(sent_at_s=100.0, now_s=110.0)
    assert lease.until_s == 145.0 - margin_s(45.0)


def test_a_lease_ends_a_margin_before_the_keeper_may_probe() -> None:
    lease = Lease(45.0)
    lease.confirm(100.0, 100.0)
    end = 100.0 + 45.0 - margin_s(45.0)
    assert lease.check(end - 0.001)
    assert not lease.check(end)


def test_a_lapse_is_final() -> None:
    lease = Lease(6.0)
    lease.confirm(0.0, 0.0)
    assert not lease.check(10.0)
    lease.confirm(10.0, 10.0)
    assert not lease.check(10.0)
    assert lease.lapsed


def test_a_heartbeat_confirmed_after_the_lapse_revives_nothing() -> None:
    lease = Lease(6.0)
    lease.confirm(0.0, 0.0)
    # Nobody looked at the clock in between: the answer to a heartbeat sent in time came too late.
    lease.confirm(sent_at_s=1.0, now_s=20.0)
    assert not lease.check(20.0)


def test_answers_out_of_order_do_not_shorten_a_lease() -> None:
    lease = Lease(45.0)
    lease.confirm(10.0, 11.0)
    lease.confirm(7.0, 12.0)
    assert lease.confirmed_at_s == 10.0


def test_a_first_heartbeat_confirmed_too_late_is_a_lapse() -> None:
    """It is in the log: a keeper may have proven this boot id gone, so nothing may begin under it."""
    lease = Lease(10.0)
    lease.confirm(sent_at_s=100.0, now_s=130.0)
    assert lease.lapsed
    lease.confirm(sent_at_s=131.0, now_s=131.1)
    assert not lease.check(131.1)
