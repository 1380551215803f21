from core.retrying.asked import Pending
from core.retrying.choice import Subject
from core.retrying.explore import ARMS, CONTROL, EFFECTIVE_MIN, EXPLORED_MAX, EXPLORED_MIN, shares_of
from core.retrying.memory import GENERATION_ENDS, OPEN_MAX, RetryMemory
from core.retrying.off_policy import ABANDONED_S

SUBJECT = Subject("acme", "email", "00deadbeef00beef")


def pending(at_ms: int = 0, arm: str = CONTROL, propensity: float = 0.95) -> Pending:
    return Pending("transient", arm, propensity, at_ms)


def test_an_episode_lasts_from_the_first_failure_to_the_success() -> None:
    memory = RetryMemory(EXPLORED_MAX)
    before = memory.history.of(SUBJECT)
    memory.failed("o", 1_000)
    memory.about("o", *SUBJECT)
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
    memory.about("o", *SUBJECT)
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
