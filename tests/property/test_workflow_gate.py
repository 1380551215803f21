"""The workflow gate against the law said the slow way, and the law's promises on any log."""

from collections import Counter
from dataclasses import replace

from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap64

from core.frames import chunks_of, frames_in
from core.gates.dependencies import OnParentFailure, ParentGroup
from core.gates.fold import Boosts, Passed
from core.gates.workflow_gate import WorkflowGate
from core.states import State
from tests.support.workflow_logs import (
    EPOCH,
    JOBS,
    End,
    Enter,
    Event,
    NaiveGate,
    Spec,
    Story,
    Time,
    fates,
    play,
    priorities,
    stories,
    times,
)

PLAIN = Spec("w", (), None, OnParentFailure.SKIP, 0)


def story_of(jobs: dict[int, Spec], *log: Event) -> Story:
    """Tell of these jobs; all others are plain."""
    return Story(tuple(jobs.get(number, PLAIN) for number in JOBS), log)


MEMBER_OPENED_BEFORE_IT_CAME = story_of(
    {
        1: replace(PLAIN, parents=ParentGroup("g", 1), priority=1),
        2: replace(PLAIN, group="g"),
    },
    *(Enter(1), Enter(2, 2), Enter(2), End(2, 2, State.SUCCEEDED)),
)
CHILD_OPENED_WHILE_IT_WAITED = story_of(
    {1: replace(PLAIN, parents=ParentGroup("g", None)), 4: replace(PLAIN, parents=(1,))},
    *(Enter(4), Enter(4, 2), Enter(1), Time(1)),
)


@settings(max_examples=300)
@example(MEMBER_OPENED_BEFORE_IT_CAME)
@given(stories())
def test_the_gate_lets_on_skips_and_refuses_as_the_slow_law_says(story: Story) -> None:
    naive = NaiveGate(story)
    expected = [naive.take(*one) for one in zip(times(story.log), story.log, strict=True)]
    found = [fates(story, effects) for effects in play(WorkflowGate(EPOCH), story)]
    assert found == expected


@settings(max_examples=400)
@example(MEMBER_OPENED_BEFORE_IT_CAME)
@given(stories())
def test_who_is_waited_for_inherits_as_the_slow_law_says(story: Story) -> None:
    naive, gate = NaiveGate(story), WorkflowGate(EPOCH)
    for stamp_ms, event, effects in zip(times(story.log), story.log, play(gate, story), strict=True):
        naive.take(stamp_ms, event)
        assert priorities(story, effects) == naive.inherit()


@settings(max_examples=150)
@given(stories())
def test_a_job_is_let_on_once_and_only_after_all_its_parents_succeeded(story: Story) -> None:
    passed, succeeded = Counter[tuple[int, int]](), set[int]()
    members: dict[tuple[str, str], list[int]] = {}
    for event, effects in zip(story.log, play(WorkflowGate(EPOCH), story), strict=True):
        if isinstance(event, End) and event.state is State.SUCCEEDED:
            succeeded.add(event.job)
        if isinstance(event, Enter) and (group := story.specs[event.job].group) is not None:
            members.setdefault((story.specs[event.job].workflow, group), []).append(event.job)
        for effect in effects:
            if not isinstance(effect, Passed):
                continue
            entered = story.log[effect.offset]
            assert isinstance(entered, Enter)
            passed[entered.job, effect.n] += 1
            spec = story.specs[entered.job]
            if spec.policy is OnParentFailure.RUN or entered.n > 1:
                continue
            if isinstance(spec.parents, ParentGroup):
                group_members = set(members.get((spec.workflow, spec.parents.group), []))
                done = len(group_members & succeeded)
                assert spec.parents.count is None or done == spec.parents.count
            else:
                assert set(spec.parents) <= succeeded
    assert max(passed.values(), default=0) <= 1


@settings(max_examples=150)
@example(CHILD_OPENED_WHILE_IT_WAITED, 0.5)
@given(stories(), st.floats(0, 1))
def test_a_gate_restored_at_any_offset_goes_on_as_if_it_had_never_stopped(story: Story, share: float) -> None:
    cut = round(share * len(story.log))
    gate = WorkflowGate(EPOCH)
    play(gate, story, end=cut)
    image = gate.image()
    expected = play(gate, story, cut)
    restored = WorkflowGate.restored(EPOCH, frames_in(list(chunks_of(image.frames()))))
    assert restored.next_offset == cut
    assert play(restored, story, cut) == expected
    needed = [effect.offset for some in expected for effect in some if not isinstance(effect, Boosts)]
    assert all(offset >= image.keep_from() for offset in needed)
    assert shown(restored) == shown(gate)


def shown(gate: WorkflowGate) -> list[tuple[bytes, list[int]]]:
    """Give the frames of a gate; equal bitmaps may be written in different ways."""
    frames = gate.image().frames()
    return [(head, list(BitMap64.deserialize(body)) if body else []) for head, body in frames]


@settings(max_examples=150)
@given(stories(20))
def test_records_that_come_again_change_nothing(story: Story) -> None:
    once = [fates(story, effects) for effects in play(WorkflowGate(EPOCH), story)]
    twice = Story(story.specs, tuple(event for event in story.log for _ in range(2)))
    gate = WorkflowGate(EPOCH)
    found = [fates(twice, effects) for effects in play(gate, twice)]
    repeats = [
        effects for event, effects in zip(twice.log[1::2], found[1::2], strict=True) if not is_tick(event)
    ]
    assert not any(repeats)
    if not any(map(is_tick, story.log)):
        assert found[::2] == once
    entered = [event for event in story.log if isinstance(event, Enter) and event.n == 1]
    late = Story(story.specs, (*twice.log, *entered))
    assert not any(fates(late, effects) for effects in play(gate, late, len(twice.log)))


def is_tick(event: Event) -> bool:
    return isinstance(event, Time)
