"""Random walks over the services' own rules and steps: whatever happens, the law holds.

``MODEL_WALKS=5000 pytest tests/model`` takes that many walks instead of the usual few.
"""

from collections import Counter

import pytest

from services.executor.held import Held, HeldJob, Source
from tests.model.faults import Fault
from tests.model.laws import Rules
from tests.model.walk import STEPS, silence, walk, walks_wanted

WALKS = 200


def test_the_law_holds_through_every_walk() -> None:
    steps = 0
    with silence():
        for seed in range(walks_wanted(WALKS)):
            try:
                steps += walk(seed, Rules())
            except Exception as error:
                error.add_note(f"seed {seed}")
                raise
    assert steps >= WALKS * STEPS


def test_a_walk_is_repeated_by_its_seed() -> None:
    with silence():
        assert walk(7, Rules()) == walk(7, Rules())


def test_walks_claim_in_what_others_own(monkeypatch: pytest.MonkeyPatch) -> None:
    sources: Counter[Source] = Counter()
    add = Held.add

    def counted(held: Held, job: HeldJob) -> None:
        sources[job.source] += 1
        add(held, job)

    monkeypatch.setattr(Held, "add", counted)
    with silence():
        for seed in range(10):
            walk(seed, Rules())
    assert sources[Source.STOLEN] >= 5, sources
    assert sources[Source.OWN] >= 5, sources


@pytest.mark.parametrize("favourite", Fault)
def test_the_law_holds_when_one_fault_happens_all_the_time(favourite: Fault) -> None:
    with silence():
        for seed in range(1000, 1000 + walks_wanted(WALKS) // 20):
            try:
                walk(seed, Rules(), favourite=favourite)
            except Exception as error:
                error.add_note(f"seed {seed}")
                raise
