"""What single scenarios promise is found broken where it is, and a fault that did not bite is no success."""

from collections.abc import Callable

import pytest

from tests.chaos import claims
from tests.chaos.evidence import Evidence, Violation
from tests.chaos.history import Line
from tests.chaos.orders import Kind
from tests.chaos.stories import START_MS, Story, evidence, failing, flaky, lost, order_of, plain

FAR_MS = START_MS + 1_000_000


def lines(fault: str, begin_ms: int, end_ms: int) -> list[Line]:
    return [Line(0, begin_ms, "fault", fault), Line(0, end_ms, "heal", fault)]


def test_work_that_was_done_and_lost_is_done_once_more() -> None:
    again = Story(1, order_of(1)).claim().run().lose().retry().claim(2).run(2).succeed(2)
    assert claims.done_but_not_closed_is_lost_and_done_once_more(evidence(again.case(), plain().case())) == []
    only_lost = Story(1, order_of(1)).claim().run().lose()
    found = claims.done_but_not_closed_is_lost_and_done_once_more(evidence(only_lost.case()))
    assert [one.what for one in found] == ["work that was lost when it was done was not dispatched again"]


@pytest.mark.parametrize(("silent_s", "violations"), [(4.0, 1), (5.0, 0)])
def test_a_loss_is_excused_by_nothing_but_a_lease_without_a_heartbeat(
    silent_s: float, violations: int
) -> None:
    case = Story(1, order_of(1)).claim().run().lose().case()
    found = claims.nobody_is_lost(evidence(case, plain().case(), silences_s={"a": silent_s}, lease_s=6.0))
    assert len(found) == violations
    assert claims.nobody_is_lost(evidence(plain().case(), silences_s={"a": 60.0}, lease_s=6.0)) == []


def evicted(story: Story) -> list[Violation]:
    """Executor 0 has claimed once; then it is blocked and evicted, while the story goes on."""
    before = Story(2, order_of(2)).claim(by="executor-0:ab")
    blocked_ms = before.now_ms + 1
    history = lines(claims.LOOP_BLOCKED, blocked_ms, FAR_MS)
    history.append(Line(0, blocked_ms, "note", claims.EVICTED, {"name": "executor-0"}))
    return claims.peers_take_over_what_was_evicted(evidence(before.case(), story.case(), history=history))


def test_peers_claim_what_an_evicted_executor_had() -> None:
    waits = Story(1, order_of(1))
    assert [one.what for one in evicted(waits)] == ["peers did not take partitions over"]
    peer = Story(1, order_of(1))
    peer.now_ms += 1_000
    assert evicted(peer.claim(by="executor-1:ab")) == []
    own = Story(1, order_of(1))
    own.now_ms += 1_000
    found = evicted(own.claim(by="executor-0:ab"))
    assert [one.what for one in found] == ["an executor claimed while it was evicted"]


def test_a_handler_that_blocks_loses_nothing() -> None:
    blocking = Story(1, order_of(1, Kind.BLOCKING)).claim().run().succeed()
    assert claims.a_blocked_handler_is_left_to_finish(evidence(blocking.case())) == []
    found = claims.a_blocked_handler_is_left_to_finish(evidence(blocking.case(), lost().case()))
    assert [one.what for one in found] == ["a dispatch was lost to a blocked handler"]
    again = Story(1, order_of(1, Kind.BLOCKING)).claim().run(outcome="TimeoutError").fail().retry()
    found = claims.a_blocked_handler_is_left_to_finish(evidence(again.claim(2).run(2).succeed(2).case()))
    assert [one.what for one in found] == ["the blocking job did not succeed at once"]


def away(story: Story, end_ms: int) -> list[Violation]:
    history = lines(claims.DECIDER_AWAY, START_MS - claims.SETTLE_MS, end_ms)
    return claims.failures_stand_until_they_are_decided(evidence(story.case(), history=history))


def test_failures_wait_for_the_dlq_handler() -> None:
    failed = Story(1, order_of(1, Kind.FLAKY)).claim().run(outcome="ValueError").fail()
    assert [one.what for one in away(failed, FAR_MS)] == ["a failure was never decided"]
    healed_ms = failed.now_ms
    decided = failed.retry().claim(2).run(2).succeed(2)
    assert away(decided, healed_ms) == []
    assert [one.what for one in away(failing(), FAR_MS)] == ["a failure was decided without a dlq_handler"]


def test_a_retry_that_fell_due_is_claimed() -> None:
    history = lines(claims.DUE_KILLED, START_MS, FAR_MS)
    fine = evidence(flaky().case(), history=history)
    assert claims.what_fell_due_meanwhile_is_released_once(fine) == []
    stays = Story(1, order_of(1)).claim().run(outcome="ValueError").fail().retry()
    found = claims.what_fell_due_meanwhile_is_released_once(evidence(stays.case(), history=history))
    assert [one.what for one in found] == ["a retry that fell due was never claimed"]


def test_executors_of_two_versions_work_at_once_and_take_over_from_each_other() -> None:
    history = [*lines(claims.MIXED_DOWN, START_MS, FAR_MS), *lines(claims.MIXED_UP, START_MS, FAR_MS)]
    story = Story(1, order_of(1)).claim().run(outcome="ValueError").fail().retry().claim(2, seq=7)
    shared = story.run(2).succeed(2).case()
    assert claims.versions_share_the_work(evidence(shared, history=history)) == []
    apart = Story(2, order_of(2)).claim(seq=7).run().succeed().case()
    found = claims.versions_share_the_work(evidence(plain().case(), apart, history=history))
    assert [one.evidence for one in found] == ["no job was retried by the other version"]
    found = claims.versions_share_the_work(evidence(shared, history=lines(claims.MIXED_UP, START_MS, FAR_MS)))
    assert [one.evidence for one in found] == [f"{claims.MIXED_DOWN}: one version alone claimed"]


@pytest.mark.parametrize(
    ("claim", "fault"),
    [
        (claims.done_but_not_closed_is_lost_and_done_once_more, ""),
        (claims.a_blocked_handler_is_left_to_finish, ""),
        (claims.peers_take_over_what_was_evicted, ""),
        (claims.failures_stand_until_they_are_decided, ""),
        (claims.failures_stand_until_they_are_decided, claims.DECIDER_AWAY),
        (claims.what_fell_due_meanwhile_is_released_once, ""),
        (claims.what_fell_due_meanwhile_is_released_once, claims.DUE_KILLED),
    ],
)
def test_a_fault_that_did_not_bite_is_no_success(
    claim: Callable[[Evidence], list[Violation]], fault: str
) -> None:
    found = claim(evidence(plain().case(), history=lines(fault, START_MS, FAR_MS)))
    assert [one.invariant for one in found] == ["claim"]
