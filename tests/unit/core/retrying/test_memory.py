from core.retrying.choice import Subject
from core.retrying.explore import ARMS, CONTROL, EXPLORED_MAX
from core.retrying.memory import GENERATION_ENDS, OPEN_MAX, Pending, RetryMemory

SUBJECT = Subject("acme", "email", "00deadbeef00beef")


def pending(n: int = 1, arm: str = CONTROL, propensity: float = 0.95, delay_s: float = 10.0) -> Pending:
    return Pending(n, "transient", arm, propensity, delay_s)


def test_an_episode_lasts_from_the_first_failure_to_the_success() -> None:
    memory = RetryMemory(EXPLORED_MAX)
    before = memory.history.of(SUBJECT)
    memory.failed("o", 1, 1_000)
    memory.about("o", SUBJECT)
    assert memory.age_s("o", 61_000) == 60
    assert memory.age_s("other", 61_000) == 0
    memory.failed("o", 2, 31_000)
    memory.succeeded("o", 3, 91_000)
    assert len(memory) == 0
    # It is known now that such failures are over after a minute and a half.
    assert memory.history.of(SUBJECT).sum() != before.sum()


def test_what_is_not_known_to_have_failed_teaches_nothing() -> None:
    memory = RetryMemory(EXPLORED_MAX)
    memory.succeeded("o", 1, 5)
    memory.given_up("o")
    memory.decided("o", pending())
    memory.about("o", SUBJECT)
    memory.failed("o", 1, 5)
    memory.given_up("o")
    assert len(memory) == len(memory.history) == 0


def test_a_decision_costs_its_delay_and_the_try_that_failed() -> None:
    memory = RetryMemory(EXPLORED_MAX)
    generation = memory.generation("transient", 7)
    memory.failed("o", 1, 0)
    memory.decided("o", pending(1, propensity=0.5))
    memory.failed("o", 1, 1)
    assert generation.tallies[CONTROL].weight == 0
    memory.failed("o", 2, 20_000)
    assert (generation.tallies[CONTROL].mean, generation.tallies[CONTROL].weight) == (310.0, 2.0)
    memory.decided("o", pending(2, propensity=0.5, delay_s=30.0))
    memory.succeeded("o", 3, 60_000)
    assert generation.tallies[CONTROL].mean == 170.0


def test_the_winner_changes_only_when_a_generation_ends() -> None:
    memory = RetryMemory(EXPLORED_MAX)
    first = memory.generation("transient", 7)
    assert (first.name, first.shares.winner, first.number) == ("7", CONTROL, 0)
    for number in range(GENERATION_ENDS):
        assert memory.generation("transient", 8).shares.winner == CONTROL
        arm, cost_s = ("fourfold", 1.0) if number % 4 == 0 else (CONTROL, 100.0)
        memory.failed(f"o{number}", 1, 0)
        memory.decided(f"o{number}", pending(1, arm, 0.25 if arm != CONTROL else 0.75, cost_s))
        memory.succeeded(f"o{number}", 2, 1_000)
    after = memory.generation("transient", 9)
    assert (after.name, after.shares.winner, after.number, after.ends) == ("1000", "fourfold", 1, 0)
    assert memory.generation("timeout", 9).shares.winner == CONTROL
    # A decision of before is worth half as much from now on.
    assert round(after.tallies["fourfold"].effective, 6) == GENERATION_ENDS / 8
    assert memory.generation("strange", 9) is after
    assert set(after.tallies) == set(ARMS)


def test_memory_is_bounded() -> None:
    memory = RetryMemory(0.0)
    for number in range(OPEN_MAX + 10):
        memory.failed(f"{number}", 1, number)
    assert len(memory) == OPEN_MAX
    assert memory.age_s("0", 10_000) == 0
