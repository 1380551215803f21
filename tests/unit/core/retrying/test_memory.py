from dataclasses import dataclass, field

import numpy as np
import pytest

from core.fault import FaultClass
from core.retry import Cause, ClosedDispatch, RetryPolicy
from core.retrying.asked import Advice, Attempted, Pending, Situation
from core.retrying.bins import BINS, Floats
from core.retrying.choice import Moment, Subject
from core.retrying.columns import COLUMN, FEATURES, FINGERPRINT, Kind
from core.retrying.evidence import Evidence, Settled, evidence_of
from core.retrying.explore import (
    ARMS,
    CONTROL,
    EFFECTIVE_MIN,
    EXPLORED_MAX,
    EXPLORED_MIN,
    GENERATION_ENDS,
    PLANNED,
    propensities,
    shares_of,
)
from core.retrying.history import History
from core.retrying.memory import OPEN_MAX, RecoveriesInForce, RetryMemory
from core.retrying.off_policy import ABANDONED_S

SUBJECT = Subject("acme", "email", "00deadbeef00beef")
ATTEMPTED = Attempted(*SUBJECT, failures=1, attempt=1, run_s=(2.0,), priority=7, payload_bytes=100)


@dataclass
class Fixed:
    """A model that gives every bin the same hazard."""

    name: str
    hazard: float = 0.5
    evidence: Evidence = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.history = History()
        self.asked: list[Moment] = []

    def hazards(self, moment: Moment) -> Floats:
        self.asked.append(moment)
        return np.full(BINS, self.hazard)


@dataclass
class InForce(RecoveriesInForce):
    """Models that a test puts in force."""

    champion: Fixed | None = None
    shadow: Fixed | None = None


def advised(memory: RetryMemory, origin: str = "o", now_ms: int = 1_000) -> Advice:
    closed = ClosedDispatch(Cause.FAILED, FaultClass.TRANSIENT, failures=1)
    situation = Situation(memory.age_s(origin, now_ms), 4, 3600.0, now_ms, *SUBJECT)
    return memory.advise(closed, RetryPolicy(max_attempts=5), situation, (origin, 1))


def pending(at_ms: int = 0, arm: str = CONTROL, propensity: float = 0.95) -> Pending:
    return Pending("transient", arm, propensity, at_ms)


def test_an_episode_lasts_from_the_first_failure_to_the_success() -> None:
    memory = RetryMemory(EXPLORED_MAX)
    before = memory.history.of(SUBJECT)
    memory.failed("o", 1_000)
    memory.about("o", ATTEMPTED, 1_000)
    assert memory.age_s("o", 61_000) == 60
    assert memory.age_s("other", 61_000) == 0
    memory.failed("o", 31_000)
    memory.succeeded("o", 91_000)
    assert len(memory) == 0
    # It is known now that such failures are over after a minute and a half.
    assert memory.history.of(SUBJECT).sum() != before.sum()


def test_what_is_not_known_to_have_failed_teaches_nothing() -> None:
    memory = RetryMemory(EXPLORED_MAX)
    memory.succeeded("o", 5)
    memory.given_up("o", 5)
    memory.decided("o", pending())
    memory.about("o", ATTEMPTED, 5)
    memory.failed("o", 5)
    memory.given_up("o", 5)
    assert len(memory) == len(memory.history) == 0


def test_a_decision_costs_what_came_after_it() -> None:
    memory = RetryMemory(EXPLORED_MAX)
    generation = memory.generation("transient", 7)
    memory.failed("o", 0)
    memory.decided("o", pending(0, propensity=0.5))
    memory.failed("o", 20_000)
    memory.decided("o", pending(20_000, "fourfold"))
    assert generation.tallies[CONTROL].weight == 0
    memory.succeeded("o", 60_000)
    assert (generation.tallies[CONTROL].mean, generation.tallies[CONTROL].weight) == (360.0, 2.0)
    assert generation.tallies["fourfold"].mean == 40.0
    memory.failed("p", 0)
    memory.decided("p", pending(0, "planned"))
    memory.failed("p", 10_000)
    memory.given_up("p", 10_000)
    assert generation.tallies["planned"].mean == 10 + 300 + ABANDONED_S
    assert generation.ends == 3


def test_the_winner_changes_only_when_a_generation_ends() -> None:
    memory = RetryMemory(EXPLORED_MAX)
    first = memory.generation("transient", 7)
    assert (first.name, first.shares.winner, first.number) == ("7", CONTROL, 0)
    for number in range(GENERATION_ENDS):
        assert memory.generation("transient", 8).shares.winner == CONTROL
        arm, ended_ms = ("fourfold", 1000) if number % 4 == 0 else (CONTROL, 100_000)
        memory.failed(f"o{number}", 0)
        memory.decided(f"o{number}", pending(0, arm, 0.25 if arm != CONTROL else 0.75))
        memory.succeeded(f"o{number}", ended_ms)
    after = memory.generation("transient", 9)
    assert (after.name, after.shares.winner, after.number, after.ends) == ("100000", "fourfold", 1, 0)
    assert memory.generation("timeout", 9).shares.winner == CONTROL
    # A decision of before is worth half as much from now on.
    assert round(after.tallies["fourfold"].effective, 6) == GENERATION_ENDS / 8
    assert memory.generation("strange", 9) is after
    assert set(after.tallies) == set(ARMS)


def test_a_generation_is_long_enough_for_what_is_tried_to_win_it() -> None:
    tried = shares_of(0, CONTROL, EXPLORED_MIN).tried
    assert GENERATION_ENDS * EXPLORED_MIN / len(tried) >= EFFECTIVE_MIN


def test_memory_is_bounded() -> None:
    memory = RetryMemory(0.0)
    for number in range(OPEN_MAX + 10):
        memory.failed(f"{number}", number)
    assert len(memory) == OPEN_MAX
    assert memory.age_s("0", 10_000) == 0


def test_a_failure_is_known_by_what_was_before_it() -> None:
    memory = RetryMemory(0.0)
    memory.succeeded("another", 500)
    memory.failed("o", 1_000)
    memory.about("o", ATTEMPTED, 1_000)
    told = advised(memory).foretell(10.0)
    assert (told.fingerprint, told.model, told.shadow, told.p_shadow) == (FINGERPRINT, "", "", None)
    vector = np.frombuffer(told.vector, "<f4")
    assert len(vector) == len(FEATURES)
    known = {name: vector[COLUMN[name]] for name in COLUMN}
    assert (known["failures"], known["priority"]) == (1, 7)
    assert (known["everything.streak"], known["everything.failed"], known["type.failed"]) == (1, 0, 0)
    memory.failed("p", 2_000)
    memory.about("p", ATTEMPTED._replace(run_s=(2.0, 8.0)), 2_000)
    later = np.frombuffer(advised(memory, "p", 2_000).foretell(10.0).vector, "<f4")
    assert later[COLUMN["everything.streak"]] == later[COLUMN["signature.streak"]] == -1
    assert later[COLUMN["run_change"]] == pytest.approx(np.log(9 / 3))
    # What a retry does counts as one; a first try does not.
    memory.succeeded("p", 3_000)
    assert memory.standings.of(SUBJECT)[Kind.EVERYTHING].retry_worked == 1


def test_a_decision_without_a_failure_that_was_looked_at_has_no_features() -> None:
    told = advised(RetryMemory(0.0)).foretell(10.0)
    assert (told.fingerprint, told.vector) == ("", b"")
    assert told.p_works is not None
    assert 0 < told.p_works < 1


def test_plans_go_by_the_model_in_force_and_the_shadow_only_says() -> None:
    models = InForce(Fixed("m1", 0.5), Fixed("m2", 0.001))
    memory = RetryMemory(0.0, models)
    memory.failed("o", 1_000)
    memory.about("o", ATTEMPTED, 1_000)
    told = advised(memory).foretell(60.0)
    assert (told.model, told.shadow) == ("m1", "m2")
    assert told.p_works == pytest.approx(1.0, abs=1e-6)
    assert told.p_shadow is not None
    assert told.p_shadow < 0.1
    assert models.champion is not None
    assert models.shadow is not None
    (moment,) = models.champion.asked
    assert moment.features is not None
    assert moment.subject == SUBJECT
    memory.succeeded("o", 61_000)
    # All that may be asked go on learning, so that whoever is asked next knows as much.
    assert len(models.champion.history) == len(models.shadow.history) == len(memory.history) > 0


def test_another_model_begins_new_generations_with_the_same_winner() -> None:
    models = InForce()
    memory = RetryMemory(EXPLORED_MAX, models)
    memory.failed("o", 0)
    memory.about("o", ATTEMPTED, 0)
    before = advised(memory, now_ms=7)
    memory.decided("o", pending(0, "planned", 0.5))
    memory.succeeded("o", 10_000)
    generation = memory.generation("transient", 8)
    assert (generation.number, generation.tallies["planned"].weight) == (0, 2.0)
    models.champion = Fixed("m1", 0.5)
    after = advised(memory, "p", 20_000)
    assert (before.generation, after.generation) == ("7", "20000")
    assert (generation.number, generation.shares.winner, generation.ends) == (1, CONTROL, 0)
    assert generation.tallies["planned"].weight == 1.0
    assert advised(memory, "q", 30_000).generation == "20000"
    models.champion = None
    assert advised(memory, "r", 40_000).generation == "40000"


def settled_of(cost_s: dict[str, float], each: int = 200, error_class: str = "transient") -> list[Settled]:
    return [Settled(error_class, arm, 0.5, cost) for arm, cost in cost_s.items() for _ in range(each)]


TOLD = evidence_of(settled_of({CONTROL: 100.0, "fourfold": 10.0, PLANNED: 1000.0}))


@pytest.mark.parametrize("as_shadow", [False, True])
def test_a_handler_that_begins_anew_goes_on_with_the_winner_that_models_tell_of(as_shadow: bool) -> None:
    for _ in range(2):
        told = Fixed("m1", evidence=TOLD)
        memory = RetryMemory(EXPLORED_MAX, InForce(None, told) if as_shadow else InForce(told))
        assert advised(memory).generation == "m1"
        generation = memory.generation("transient", 9)
        assert (generation.shares.winner, generation.ends) == ("fourfold", 0)
        assert (generation.tallies[CONTROL].mean, generation.tallies[CONTROL].weight) == (100.0, 400.0)
        # What plans cost was measured under other models.
        assert generation.tallies[PLANNED].weight == 200.0
        assert memory.generation("timeout", 9).shares.winner == CONTROL
        # The model's own numbers stay as they were published.
        memory.failed("o", 0)
        memory.decided("o", pending(0, "fourfold", 0.5))
        memory.succeeded("o", 1000)
        assert TOLD["transient"]["fourfold"].weight == 400.0


def test_of_what_models_tell_the_newest_is_believed_once() -> None:
    models = InForce(
        Fixed("m1", evidence=TOLD), Fixed("m2", evidence=evidence_of(settled_of({CONTROL: 5.0})))
    )
    memory = RetryMemory(EXPLORED_MAX, models)
    assert advised(memory).generation == "m2"
    assert memory.generation("transient", 9).shares.winner == CONTROL
    models.shadow = None
    assert advised(memory).generation == "m2"
    assert memory.generation("transient", 9).number == 1
    models.champion = Fixed("m3", evidence=TOLD)
    assert advised(memory, now_ms=20_000).generation == "m3"
    assert memory.generation("transient", 9).shares.winner == "fourfold"
    # One that does not tell begins generations too, with what was known.
    models.champion = Fixed("m4")
    assert advised(memory, now_ms=30_000).generation == "30000"
    assert memory.generation("transient", 9).shares.winner == "fourfold"


def test_classes_and_arms_of_another_version_are_passed_over() -> None:
    strange = {"transient": {**TOLD["transient"], "hundredfold": TOLD["transient"]["fourfold"]}, "odd": {}}
    memory = RetryMemory(EXPLORED_MAX, InForce(Fixed("m1", evidence=strange)))
    assert advised(memory).generation == "m1"
    assert set(memory.generation("transient", 9).tallies) == set(ARMS)


def test_what_is_told_is_what_a_memory_knows_that_saw_everything() -> None:
    memory = RetryMemory(EXPLORED_MAX)
    seen: list[Settled] = []
    chances = propensities(memory.generation("transient", 0).shares)
    for number in range(3 * GENERATION_ENDS + 7):
        arm = list(chances)[number % len(chances)]
        seen.append(Settled("transient", arm, chances[arm], float(number % 50)))
        memory.failed(f"o{number}", 0)
        memory.decided(f"o{number}", pending(0, arm, chances[arm]))
        memory.succeeded(f"o{number}", number % 50 * 1000)
    tallies = memory.generation("transient", 0).tallies
    told = evidence_of(seen)["transient"]
    assert told.keys() == chances.keys()
    # The memory halves at the end of a generation, and what is told at the beginning of the next.
    for arm, tally in told.items():
        assert tally.mean == pytest.approx(tallies[arm].mean)
        assert tally.effective == pytest.approx(tallies[arm].effective)
