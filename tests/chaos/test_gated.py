"""Every checker of workflows and ordering keys fails on what it is there to find, and on nothing else."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from core.ledger.verdicts import Cancel, Skipped
from core.log import TopicPartition
from penstock.identity import job_id_of_spawned
from tests.chaos.case import Case
from tests.chaos.checkers import delivery, gated, hops, offsets
from tests.chaos.checkers.everything import check_everything
from tests.chaos.checkers.gated import MEMBERS_CHECKS, Members, MembersCheck
from tests.chaos.evidence import Clocks, Evidence, Violation
from tests.chaos.orders import Kind, Mix, Order, Orders
from tests.chaos.stories import ROUTES, START_MS, Story, evidence, order_of, watched

FLOW: dict[str, Any] = {"workflow_id": "w"}
ONE = Story(1, order_of(1)).job_id
TWO = Story(2, order_of(2)).job_id
LATER_MS = START_MS + 10_000
MUCH_LATER_MS = START_MS + 20_000


def at(number: int, now_ms: int = START_MS, kind: Kind = Kind.STEADY, **options: Any) -> Story:
    """Begin the story of a job that is accepted at a time; what waits for it is read from its options."""
    return Story(number, order_of(number, kind, options=options), now_ms=now_ms)


def ran(story: Story) -> Story:
    return story.claim().run().succeed()


def died(story: Story) -> Story:
    return story.claim().run(outcome="PermanentError").fail().die()


def skipped(story: Story) -> Story:
    return story.tell(Skipped(story.origin, story.job_id, "a parent ended without success"))


def parent() -> Story:
    return ran(at(1, **FLOW))


def failed_parent() -> Story:
    return died(at(1, kind=Kind.FAILING, **FLOW))


def child(now_ms: int = LATER_MS, **options: Any) -> Story:
    return at(2, now_ms, **FLOW, **({"depends_on": [ONE]} | options))


def in_line(number: int, now_ms: int, **options: Any) -> Story:
    return at(number, now_ms, ordering_key="k", **options)


def stories(*told: Story) -> Evidence:
    return evidence(*(one.case() for one in told))


def healthy() -> list[Story]:
    """A workflow in which all goes well, one in which two are skipped in a row, one that minds nothing."""
    group = {"group": "g", "count": 2}
    return [
        parent(),
        ran(child()),
        died(at(3, kind=Kind.FAILING, workflow_id="v")),
        skipped(at(4, LATER_MS, workflow_id="v", depends_on=[Story(3, order_of(3)).job_id])),
        skipped(at(5, LATER_MS, workflow_id="v", depends_on=[Story(4, order_of(4)).job_id])),
        ran(
            at(
                6,
                LATER_MS,
                workflow_id="v",
                depends_on=[Story(4, order_of(4)).job_id],
                on_parent_failure="run",
            )
        ),
        ran(at(7, workflow_id="u", group="g")),
        ran(at(8, workflow_id="u", group="g")),
        ran(at(9, LATER_MS, workflow_id="u", depends_on=group)),
        ran(in_line(10, START_MS)),
        ran(in_line(11, LATER_MS)),
    ]


def test_workflows_and_keys_that_went_right_violate_nothing() -> None:
    found = check_everything(stories(*healthy()))
    assert found.violations == []
    assert found.states == {"succeeded": 8, "dead": 1, "skipped": 2}


def test_a_parent_cancelled_by_its_id_alone_has_ended_before_its_origin_is_named() -> None:
    late = at(1, **FLOW).tell(Cancel("", ONE, "ann"))
    late.now_ms = MUCH_LATER_MS
    late.tell(Cancel(late.origin, ONE, "materializer"))
    found = check_everything(stories(late, ran(child(on_parent_failure="run"))))
    assert "I15" not in {violation.invariant for violation in found.violations}
    named_only = at(1, **FLOW)
    named_only.now_ms = MUCH_LATER_MS
    named_only.tell(Cancel(named_only.origin, ONE, "ann"))
    found = check_everything(stories(named_only, ran(child(on_parent_failure="run"))))
    assert "I15" in {violation.invariant for violation in found.violations}


def child_beside_its_parent() -> Evidence:
    return stories(parent(), ran(child(START_MS)))


def child_of_a_job_that_never_ends() -> Evidence:
    return stories(at(1, **FLOW).claim().begin(), ran(child()))


def child_working_before_its_parent_was_done() -> Evidence:
    """The log says nothing of it: the parent's process worked on after its success was written."""
    case = parent().case()
    case.effects = [one._replace(at_boot_s=LATER_MS / 1000 + 1) for one in case.effects]
    return evidence(case, ran(child()).case())


def child_of_a_failed_parent_that_ran() -> Evidence:
    return stories(failed_parent(), ran(child()))


def child_skipped_for_nothing() -> Evidence:
    return stories(parent(), skipped(child()))


def careless_child_skipped() -> Evidence:
    return stories(failed_parent(), skipped(child(on_parent_failure="run")))


def child_of_half_a_group() -> Evidence:
    group = {"group": "g", "count": 2}
    return stories(ran(at(1, **FLOW, group="g")), ran(child(depends_on=group)))


def two_of_a_key_at_once() -> Evidence:
    return stories(ran(in_line(1, START_MS)), ran(in_line(2, START_MS)))


def one_behind_a_job_that_never_ends() -> Evidence:
    return stories(in_line(1, START_MS).claim().begin(), ran(in_line(2, LATER_MS)))


def work_of_a_key_at_once() -> Evidence:
    case = ran(in_line(1, START_MS)).case()
    case.effects = [one._replace(at_boot_s=LATER_MS / 1000 + 1) for one in case.effects]
    return evidence(case, ran(in_line(2, LATER_MS)).case())


def overtaken_in_its_key() -> Evidence:
    return stories(ran(in_line(1, LATER_MS)), ran(in_line(2, START_MS)))


def added_job_missing() -> Evidence:
    return stories(adding())


def adding() -> Story:
    return ran(Story(1, order_of(1, options=FLOW, payload={"spawns": 1})))


PLANTED: list[tuple[MembersCheck, Callable[[], Evidence]]] = [
    (gated.children_start_after_their_parents, child_beside_its_parent),
    (gated.children_start_after_their_parents, child_of_a_job_that_never_ends),
    (gated.children_start_after_their_parents, child_working_before_its_parent_was_done),
    (gated.children_end_as_their_parents, child_of_a_failed_parent_that_ran),
    (gated.children_end_as_their_parents, child_skipped_for_nothing),
    (gated.children_end_as_their_parents, careless_child_skipped),
    (gated.children_end_as_their_parents, child_of_half_a_group),
    (gated.added_jobs_are_there, added_job_missing),
    (gated.keys_run_one_at_a_time, two_of_a_key_at_once),
    (gated.keys_run_one_at_a_time, one_behind_a_job_that_never_ends),
    (gated.keys_run_one_at_a_time, work_of_a_key_at_once),
    (gated.keys_keep_their_order, overtaken_in_its_key),
]


@pytest.mark.parametrize(
    ("check", "plant"), PLANTED, ids=[f"{check.__name__}-{plant.__name__}" for check, plant in PLANTED]
)
def test_a_planted_violation_is_found(check: MembersCheck, plant: Callable[[], Evidence]) -> None:
    planted = plant()
    found = made(check, planted)
    assert [one.invariant for one in found] == ["I15"]
    assert found[0].what
    assert found[0].evidence
    assert check_everything(planted).counts["I15"]


def made(check: MembersCheck, planted: Evidence) -> list[Violation]:
    members = Members()
    for case in planted.cases():
        members.take(case)
    return list(check(members, planted))


def test_a_job_that_another_one_added_is_found_where_it_is() -> None:
    added = Case(job_id_of_spawned(ONE, "part-0"))
    assert made(gated.added_jobs_are_there, evidence(adding().case(), added)) == []


def test_every_checker_of_gated_jobs_has_been_shown_to_fail() -> None:
    assert {check for check, _ in PLANTED} == set(MEMBERS_CHECKS)


def test_a_job_that_has_something_else_to_pass_may_be_overtaken_in_its_key() -> None:
    found = check_everything(
        stories(ran(in_line(1, LATER_MS, idempotency_key="x")), ran(in_line(2, START_MS)))
    )
    assert found.violations == []


def test_a_wrong_clock_of_the_broker_orders_nothing() -> None:
    planted = stories(parent(), ran(child(START_MS)))
    late = [replace(case, effects=[]) for case in planted.cases()]
    found = made(gated.children_start_after_their_parents, evidence(*late, clocks=Clocks.BROKER_JUMPS))
    assert found == []


def test_a_job_skipped_by_nothing_that_it_depends_on_is_found_for_itself() -> None:
    found = list(delivery.jobs_end_as_their_work(skipped(at(1)).case(), evidence()))
    assert [one.invariant for one in found] == ["I2"]


def through_gates(*topics: str, **options: Any) -> Case:
    """A job that came by these topics one after the other, and then ran."""
    story = at(1, **options)
    for topic in topics:
        story.travel(1, topic, "order" if topic == ROUTES.delay(0) else "")
    return ran(story).case()


ALONG = {
    "the id gate": (ROUTES.gates, ROUTES.orders),
    "the id gate, its workflow and its time": (
        ROUTES.gates,
        ROUTES.workflows,
        ROUTES.delay(0),
        ROUTES.orders,
    ),
    "its time": (ROUTES.delay(0), ROUTES.orders),
}


@pytest.mark.parametrize("topics", ALONG.values(), ids=ALONG.keys())
def test_an_ordered_job_that_leaves_no_trace_behind_a_gate_is_found(topics: tuple[str, ...]) -> None:
    case = through_gates(*topics, ordering_key="k")
    assert list(hops.stages_hand_over_first(case, evidence(case, watch=watched()))) == []
    lost = replace(case, hops=[hop for hop in case.hops if hop.topic == topics[0]])
    found = list(hops.stages_hand_over_first(lost, evidence(lost, watch=watched())))
    assert [one.what for one in found] == [
        "scheduler committed past a record and made no onward record of it"
    ]


def test_an_ordered_job_that_enters_its_key_after_the_commit_is_found() -> None:
    case = through_gates(ROUTES.delay(0), ROUTES.orders, ordering_key="k")
    early = watched()
    for ends in early.ends:
        for topic in (ROUTES.orders, ROUTES.ready):
            ends.offsets[ends.places[TopicPartition(topic, 0)]] = 0
    found = list(hops.stages_hand_over_first(case, evidence(case, watch=early)))
    assert "scheduler committed past a record before its onward record was in the log" in {
        one.what for one in found
    }


@pytest.mark.parametrize(("parks_first", "violations"), [(True, 0), (False, 1)])
def test_a_dispatch_that_was_parked_before_the_commit_may_be_claimed_after_it(
    parks_first: bool, violations: int
) -> None:
    story = ran(at(1))
    held = story.hops[0]._replace(
        topic=ROUTES.held, offset=7, at_ms=story.hops[1].at_ms + (1 if parks_first else -1)
    )
    queued = story.hops[1]._replace(offset=1)
    story.hops = [story.hops[0], queued, held]
    case = story.case()
    found = list(offsets.executors_claim_first(case, evidence(case, watch=watched(ledger_end=0))))
    assert len(found) == violations


def flow_of(seed: int) -> list[Order]:
    """Draw orders until at least one workflow is whole."""
    orders = Orders(seed, Mix(workflows=0.2), 0)
    return [*(next(orders) for _ in range(60)), *orders.rest()]


@pytest.mark.parametrize("seed", range(5))
def test_a_workflow_that_was_begun_is_drawn_to_its_end_and_names_only_its_own(seed: int) -> None:
    drawn = [one for one in flow_of(seed) if one.is_awaited and one.repeats is None]
    ids = {one.options["job_id"]: one for one in drawn}
    assert len(ids) == len(drawn)
    grouped = [one for one in drawn if isinstance(one.options.get("depends_on"), dict)]
    listed = [one for one in drawn if isinstance(one.options.get("depends_on"), list)]
    assert listed
    for one in listed:
        workflows = {ids[parent].options["workflow_id"] for parent in one.options["depends_on"]}
        assert workflows == {one.options["workflow_id"]}
    for one in grouped:
        asked, workflow = one.options["depends_on"], one.options["workflow_id"]
        members = [
            other
            for other in drawn
            if other.options.get("group") == asked["group"] and other.options["workflow_id"] == workflow
        ]
        assert len(members) == asked["count"]
    assert [one.send for one in flow_of(seed)] == list(range(len(flow_of(seed))))
