"""Who inherits in a workflow, on single stories: through layers, groups and redrives, and at what cost."""

import msgspec

from core.frames import chunks_of, frames_in
from core.gates.dependencies import OnParentFailure, ParentGroup
from core.gates.fold import Boosts, Effect, Passed, Waits
from core.gates.workflow_gate import WorkflowGate
from core.gates.workflow_graph import Parents
from core.gates.workflow_records import EnteredJob
from core.states import State
from core.urgency import Urgency
from tests.unit.core.gates.test_workflow_gate import Log, ended, entered, job_id

NO_PARENTS = Parents({})
HOUR_MS = 3_600_000


def job(
    number: int,
    priority: int,
    parents: tuple[int, ...] | ParentGroup = (),
    *,
    group: str | None = None,
    n: int = 1,
    deadline_ms: int | None = None,
    policy: OnParentFailure = OnParentFailure.SKIP,
) -> EnteredJob:
    plain = entered(number, parents, group=group, n=n, policy=policy)
    return msgspec.structs.replace(plain, priority=priority, deadline_ms=deadline_ms)


def boosts(effects: list[Effect]) -> list[Effect]:
    return [effect for effect in effects if isinstance(effect, Boosts)]


def test_a_job_on_its_way_goes_on_once_more_with_what_it_was_told_of_its_parents() -> None:
    log = Log()
    log.take(entered(1), job(2, 1, (1,)), ended(1))
    found = log.take(job(3, 8, (2,)))
    assert found == [Waits(3, "parents"), Boosts(1, Urgency(8), 1, Parents({job_id(1): 101}))]
    assert log.take(job(4, 8, (2,))) == [Waits(4, "parents")], "not for one as urgent"


def test_urgency_goes_up_through_layers_that_wait_and_is_carried_when_they_pass() -> None:
    log = Log()
    log.take(job(1, 2), job(2, 3, (1,)), job(3, 1, (2,)))
    assert boosts(log.take(job(4, 9, (3,)))) == [Boosts(0, Urgency(9), 1, NO_PARENTS)]
    assert log.take(ended(1)) == [Passed(1, 1, Parents({job_id(1): 101}), Urgency(9))]
    assert log.take(ended(4, State.CANCELLED)) == []
    assert log.take(ended(2)) == [Passed(2, 1, Parents({job_id(2): 102}), Urgency(9))]


def test_parents_that_come_after_their_children_inherit_too() -> None:
    log = Log()
    log.take(job(3, 9, (2,)), job(2, 3, (1,)))
    assert log.take(job(1, 4)) == [Passed(2, 1, NO_PARENTS, Urgency(9))]


def test_members_inherit_from_those_who_wait_for_their_group_also_when_they_join_later() -> None:
    log = Log()
    log.take(job(1, 2, group="g"), job(2, 2, (1,), group="g"))
    found = log.take(job(9, 7, ParentGroup("g", 3)))
    assert boosts(found) == [Boosts(0, Urgency(7), 1, NO_PARENTS)]
    assert log.take(job(3, 5, group="g")) == [Passed(3, 1, NO_PARENTS, Urgency(7))]
    assert log.take(ended(1)) == [Passed(1, 1, Parents({job_id(1): 101}), Urgency(7))]


def test_a_deadline_is_inherited_when_it_is_near() -> None:
    log = Log()
    log.take(job(1, 5))
    assert boosts(log.take(job(2, 5, (1,), deadline_ms=2 * HOUR_MS))) == []
    near = HOUR_MS // 2
    assert boosts(log.take(job(3, 5, (1,), deadline_ms=near))) == [Boosts(0, Urgency(5, near), 1, NO_PARENTS)]


def test_a_redriven_job_goes_on_once_more_by_the_record_it_was_redriven_with() -> None:
    log = Log()
    log.take(job(1, 1), ended(1, State.DEAD), job(2, 7, (1,), policy=OnParentFailure.WAIT))
    assert log.take(job(1, 1, n=2)) == [Passed(3, 2, inherits=Urgency(7))]
    assert boosts(log.take(job(3, 8, (1,)))) == [Boosts(3, Urgency(8), 2)]


def test_a_gate_restored_knows_who_has_inherited_what() -> None:
    log = Log()
    log.take(entered(1), job(2, 1, (1,), group="g"), ended(1), job(3, 6, ParentGroup("g")))
    frames = list(chunks_of(log.gate.image().frames()))
    log.gate = WorkflowGate.restored("e", frames_in(frames))
    assert boosts(log.take(job(4, 6, ParentGroup("g")))) == []
    assert log.take(job(6, 0, group="g")) == [Passed(5, 1, NO_PARENTS, Urgency(6))]
    told = Parents({job_id(1): 101})
    both = [Boosts(1, Urgency(9), 1, told), Boosts(5, Urgency(9), 1, NO_PARENTS)]
    assert boosts(log.take(job(5, 9, ParentGroup("g")))) == both


def test_many_children_of_many_parents_raise_each_a_few_times() -> None:
    log = Log()
    parents = range(1, 201)
    for number in parents:
        log.take(job(number, 0, group="g"))
    found = [
        effect
        for child in range(1000, 1400)
        for effect in log.take(job(child, child % 10, ParentGroup("g"), deadline_ms=HOUR_MS - child * 7000))
    ]
    assert len(boosts(found)) <= 15 * len(parents)
