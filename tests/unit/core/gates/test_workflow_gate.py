"""The workflow gate on single stories: what is refused and why, what is forgotten, what a child is told."""

import uuid

import pytest

from core.frames import chunks_of, frames_in
from core.gates.dependencies import OnParentFailure, ParentGroup
from core.gates.ended import ENDED_KIND, ENTERED_KIND
from core.gates.fold import Effect, Passed, Refuses, Skips, UnknownGateRecordError, Waits
from core.gates.id_gate import GateGapError
from core.gates.workflow_gate import WorkflowGate
from core.gates.workflow_graph import Parents
from core.gates.workflow_records import TICK_KIND, EndedJob, EnteredJob, GateEvent, Tick
from core.ledger.fold import WrongEpochError
from core.log import Record
from core.states import State

WAIT_MS, KEEP_MS = 1000, 10_000


def job_id(number: int) -> str:
    return str(uuid.UUID(int=number))


def entered(
    number: int,
    parents: tuple[int, ...] | ParentGroup = (),
    *,
    group: str | None = None,
    policy: OnParentFailure = OnParentFailure.SKIP,
    n: int = 1,
    workflow: str = "w",
) -> EnteredJob:
    named = parents if isinstance(parents, ParentGroup) else tuple(map(job_id, parents))
    return EnteredJob(f"e:0:{number}", job_id(number), "t", workflow, n, named, group, policy)


def ended(number: int, state: State = State.SUCCEEDED, n: int = 1, workflow: str = "w") -> EndedJob:
    return EndedJob(f"e:0:{number}", job_id(number), n, state, 100 + number, "t", workflow)


class Log:
    """A gate and the log it reads."""

    def __init__(self) -> None:
        self.gate = WorkflowGate("e")
        self.now_ms = 0

    def take(self, *events: GateEvent) -> list[Effect]:
        """Append records, and give what the last one led to."""
        effects: list[Effect] = []
        for event in events:
            effects = self.gate.apply(self.gate.next_offset, self.now_ms, event)
        return effects

    def tick(self, after_ms: int) -> list[Effect]:
        self.now_ms += after_ms
        return self.take(Tick(WAIT_MS, KEEP_MS))


def test_a_job_without_parents_passes_at_once() -> None:
    log = Log()
    assert log.take(entered(1)) == [Passed(0, 1, Parents({}))]


def test_a_child_is_told_where_the_results_of_its_parents_stand() -> None:
    log = Log()
    log.take(entered(1), entered(2), ended(1))
    assert log.take(entered(3, (1, 2))) == [Waits(3, "parents")]
    assert log.take(ended(2)) == [Passed(3, 1, Parents({job_id(1): 101, job_id(2): 102}))]


def test_a_child_that_runs_all_the_same_is_told_the_results_there_are() -> None:
    log = Log()
    log.take(entered(1), entered(2), ended(1, State.DEAD), entered(3, (1, 2), policy=OnParentFailure.RUN))
    assert log.take(ended(2)) == [Passed(3, 1, Parents({job_id(2): 102}))]


def test_a_child_of_more_parents_than_can_be_told_is_told_so() -> None:
    log = Log()
    log.take(entered(2000, ParentGroup("g", 1001)))
    for number in range(1, 1002):
        log.take(entered(number, group="g"))
    for number in range(1, 1001):
        assert not log.take(ended(number))
    (passed,) = log.take(ended(1001))
    assert isinstance(passed, Passed)
    assert passed.parents is not None
    assert "it has 1001 parents" in passed.parents.omitted


def test_the_failed_parent_is_named_to_everybody_below() -> None:
    log = Log()
    log.take(entered(1), entered(2, (1,)), entered(3, (2,)), entered(4, ParentGroup("g", 1)))
    log.take(entered(5, (3,), group="g"))
    assert log.take(ended(1, State.DEAD)) == [
        Skips(1, f"its parent {job_id(1)} ended without success"),
        Skips(2, f"its parent {job_id(2)} ended without success"),
        Skips(4, f"its parent {job_id(3)} ended without success"),
        Skips(3, f"its parent {job_id(5)} ended without success"),
    ]


def test_what_was_skipped_waits_again_when_the_parent_is_tried_again() -> None:
    log = Log()
    log.take(entered(1), entered(2, (1,)), entered(3, (2,)), ended(1, State.DEAD, 5))
    log.take(ended(2, State.SKIPPED), ended(3, State.SKIPPED))
    assert log.take(entered(1, n=6)) == [Passed(6, 6)]
    assert log.gate.waiting == 2
    assert log.take(ended(1, n=6)) == [Passed(1, 2, Parents({job_id(1): 101}))]
    assert log.take(ended(2, n=2)) == [Passed(2, 2, Parents({job_id(2): 102}))]


def test_what_was_cancelled_before_it_was_skipped_does_not_come_back() -> None:
    log = Log()
    log.take(entered(1), entered(2, (1,)), ended(1, State.DEAD), ended(2, State.CANCELLED))
    log.take(entered(1, n=2))
    assert log.take(ended(1, n=2)) == []


def test_what_was_skipped_waits_for_its_own_end_before_it_is_opened_again() -> None:
    log = Log()
    log.take(entered(1), entered(2, (1,)), entered(3, (1,)), ended(1, State.DEAD), entered(1, n=2))
    assert log.take(ended(1, n=2)) == []
    assert log.take(ended(3, State.CANCELLED)) == []
    assert log.take(ended(2, State.SKIPPED)) == [Passed(1, 2, Parents({job_id(1): 101}))]


def test_who_waits_for_a_failed_parent_goes_on_when_it_succeeds_after_all() -> None:
    log = Log()
    log.take(entered(1), entered(2, (1,), policy=OnParentFailure.WAIT))
    assert log.take(ended(1, State.DEAD, 5)) == []
    log.take(entered(1, n=6))
    assert log.take(ended(1, n=6)) == [Passed(1, 1, Parents({job_id(1): 101}))]


def test_a_job_that_depends_on_itself_is_refused() -> None:
    log = Log()
    (refused,) = log.take(entered(1, (1,)))
    assert refused == Refuses(0, "the job depends on itself: remove its own id from `depends_on`")


def test_a_circle_is_found_and_named_and_who_hangs_on_it_is_skipped() -> None:
    log = Log()
    log.take(entered(1, (3,)), entered(2, (1,)), entered(4, (2,)))
    assert log.gate.tick_due_ms(WAIT_MS * 9, KEEP_MS) == WAIT_MS * 9
    log.take(entered(3, (2,)))
    assert log.gate.tick_due_ms(WAIT_MS * 9, KEEP_MS) == 1000
    effects = log.tick(1)
    way = f"{job_id(1)} -> {job_id(3)} -> {job_id(2)} -> {job_id(1)}"
    reason = f"jobs depend on one another in a circle: {way}"
    assert {effect.offset for effect in effects if isinstance(effect, Refuses)} == {0, 1, 3}
    assert all(effect.reason == reason for effect in effects if isinstance(effect, Refuses))
    assert Skips(2, f"its parent {job_id(2)} ended without success") in effects


def test_a_circle_through_a_group_is_found() -> None:
    log = Log()
    log.take(entered(1, ParentGroup("g", 2)), entered(2, (1,), group="g"), entered(3, group="g"))
    refused = [effect for effect in log.tick(1) if isinstance(effect, Refuses)]
    assert {effect.offset for effect in refused} == {0, 1}
    assert "in a circle" in refused[0].reason


def test_a_long_circle_is_found_without_recursion_and_cut_in_its_name() -> None:
    log, length = Log(), 5000
    for number in range(1, length + 1):
        log.take(entered(number, (number % length + 1,)))
    refused = log.tick(1)
    assert len(refused) == length
    assert isinstance(refused[0], Refuses)
    assert " -> ... -> " in refused[0].reason


def test_unknown_parents_are_waited_for_and_then_named() -> None:
    log = Log()
    log.take(entered(1, (8, 9)), entered(8))
    log.take(ended(8))
    assert log.gate.tick_due_ms(WAIT_MS, KEEP_MS) == WAIT_MS
    assert log.tick(WAIT_MS - 1) == []
    (refused,) = log.tick(1)
    assert refused == Refuses(
        0,
        f"no job of its workflow has the id {job_id(9)}, which it depends on; it waited 1 s, and no job of "
        "its workflow runs any more",
    )


def test_unknown_parents_are_waited_for_as_long_as_a_job_runs_that_may_add_them() -> None:
    log = Log()
    log.take(entered(8), entered(1, (9,)))
    assert log.tick(WAIT_MS) == []
    log.take(ended(8))
    (refused,) = log.tick(WAIT_MS)
    assert isinstance(refused, Refuses)


def test_a_job_of_another_workflow_is_no_parent() -> None:
    log = Log()
    log.take(entered(2, (1,)), entered(1, workflow="v"), ended(1, workflow="v"))
    (refused,) = log.tick(WAIT_MS)
    assert isinstance(refused, Refuses)


@pytest.mark.parametrize(
    ("count", "members", "reason"),
    [
        (None, 1, "the group `g` it depends on was not sealed"),
        (3, 2, "the group `g` it depends on has 2 of 3 jobs"),
    ],
)
def test_a_group_that_is_not_whole_is_named(count: int | None, members: int, reason: str) -> None:
    log = Log()
    log.take(entered(9, ParentGroup("g", count)))
    for number in range(1, members + 1):
        log.take(entered(number, group="g"), ended(number))
    (refused,) = log.tick(WAIT_MS)
    assert isinstance(refused, Refuses)
    assert refused.reason.startswith(reason)


def test_a_group_takes_no_more_jobs_than_it_is_sealed_with() -> None:
    log = Log()
    log.take(entered(9, ParentGroup("g", 1)), entered(1, group="g"))
    (refused,) = log.take(entered(2, group="g"))
    assert isinstance(refused, Refuses)
    assert "sealed with 1 jobs and has them all" in refused.reason
    assert log.take(ended(1)) == [Passed(0, 1, Parents({job_id(1): 101}))]


def test_counts_that_contradict_one_another_or_the_group_are_refused() -> None:
    log = Log()
    log.take(entered(1, group="g"), entered(2, group="g"))
    (too_small,) = log.take(entered(7, ParentGroup("g", 1)))
    assert isinstance(too_small, Refuses)
    assert "has 2 jobs already, and this job seals it with 1" in too_small.reason
    log.take(entered(8, ParentGroup("g", 2)))
    (other,) = log.take(entered(9, ParentGroup("g", 3)))
    assert isinstance(other, Refuses)
    assert "sealed with 2 jobs already, and this job says 3" in other.reason


def test_a_child_without_a_count_goes_on_once_another_has_sealed_the_group() -> None:
    log = Log()
    log.take(entered(1, group="g"), ended(1), entered(8, ParentGroup("g")))
    assert {effect.offset for effect in log.take(entered(9, ParentGroup("g", 1)))} == {2, 3}


def test_an_empty_group_holds_nobody_up() -> None:
    log = Log()
    assert log.take(entered(1, ParentGroup("g", 0))) == [Passed(0, 1, Parents({}))]


def test_an_end_that_comes_before_its_job_lets_nothing_pass_and_counts() -> None:
    log = Log()
    log.take(entered(2, (1,), policy=OnParentFailure.RUN))
    assert log.take(ended(1, State.CANCELLED)) == [Passed(0, 1, Parents({}))]
    assert log.take(entered(1)) == []


def test_a_workflow_is_forgotten_a_while_after_its_end_and_its_jobs_do_not_run_again() -> None:
    log = Log()
    log.take(entered(1), entered(2, (1,)), ended(1))
    log.tick(KEEP_MS * 2)
    log.take(ended(2))
    assert log.gate.tick_due_ms(WAIT_MS, KEEP_MS) == log.now_ms + KEEP_MS
    log.tick(KEEP_MS - 1)
    assert log.gate.workflows == 1
    log.tick(1)
    assert log.gate.workflows == 0
    assert log.take(entered(1), entered(2, (1,))) == []
    assert log.gate.workflows == 0
    log.take(entered(3, (1,)))
    (refused,) = log.tick(WAIT_MS)
    assert isinstance(refused, Refuses)
    assert log.take(entered(1)) == []


def test_a_workflow_that_goes_on_is_not_forgotten() -> None:
    log = Log()
    log.take(entered(1), ended(1))
    log.tick(KEEP_MS - 1)
    log.take(entered(2, (1,)), ended(2))
    log.tick(1)
    assert log.gate.workflows == 1
    log.tick(KEEP_MS * 2)
    assert log.gate.workflows == 0


def test_an_image_shows_the_gate_as_it_was() -> None:
    log = Log()
    log.take(entered(1), entered(2, (1,)))
    image = log.gate.image()
    assert image.keep_from() == 1
    log.take(ended(1), entered(3))
    restored = WorkflowGate.restored("e", frames_in(list(chunks_of(image.frames()))))
    assert (restored.next_offset, restored.waiting) == (2, 1)
    assert log.gate.image().keep_from() == 4


def test_frames_of_something_else_are_refused() -> None:
    frames = list(WorkflowGate("e").image().frames())
    for broken in ([], frames[1:], frames[:-1], [*frames[:1], *frames]):
        with pytest.raises(ValueError):
            WorkflowGate.restored("e", broken)


def test_records_of_the_log_are_read_by_their_kind() -> None:
    gate = WorkflowGate("e")
    whole = (
        b'{"origin":"e:0:1","job_id":"%s","tenant":"t","workflow_id":"w","payload":{}}' % job_id(1).encode()
    )
    end = b'{"kind":"ENDED","origin":"e:0:1","job_id":"%s","n":1,"state":"dead","offset":7,"tenant":"t",' % (
        job_id(1).encode()
    )

    def record(offset: int, kind: bytes, value: bytes) -> Record:
        return Record("jobs.workflows", 0, offset, 5, None, value, (("kind", kind),))

    assert gate.take(record(0, ENTERED_KIND, whole)) == [Passed(0, 1, Parents({}))]
    assert gate.take(record(1, ENDED_KIND, end + b'"workflow_id":"w"}')) == []
    tick = record(2, TICK_KIND, b'{"kind":"TICK","unknown_wait_ms":1,"keep_ms":0}')
    assert gate.take(tick) == []
    assert (gate.workflows, gate.next_offset) == (0, 3)
    assert gate.take(tick) == []
    with pytest.raises(UnknownGateRecordError, match="is of kind b'OTHER'"):
        gate.take(record(3, b"OTHER", b"{}"))
    with pytest.raises(GateGapError):
        gate.take(record(4, TICK_KIND, b"{}"))
    with pytest.raises(WrongEpochError):
        gate.take(record(3, ENTERED_KIND, whole.replace(b"e:0:1", b"f:0:1")))
