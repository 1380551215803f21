from core.run_times import UNKNOWN_RUN_S, Completed, RunTimes


def test_nothing_known_gives_the_default() -> None:
    assert RunTimes().expected_s("email.send") == UNKNOWN_RUN_S


def test_a_type_moves_from_the_overall_mean_to_its_own() -> None:
    times = RunTimes()
    times.add(Completed("slow", 1000, 100_000.0))
    fresh = times.expected_s("never.seen")
    times.add(Completed("quick", 1, 0.1))
    after_one = times.expected_s("quick")
    times.add(Completed("quick", 500, 50.0))
    assert fresh > after_one > times.expected_s("quick")
    assert 0.1 <= times.expected_s("quick") < 1.0


def test_old_run_times_fade() -> None:
    times = RunTimes()
    times.add(Completed("a", 500, 5_000.0))
    for _ in range(20):
        times.add(Completed("a", 500, 500.0))
    assert 1.0 <= times.expected_s("a") < 1.1


def test_an_empty_sketch_changes_nothing() -> None:
    times = RunTimes()
    times.add(Completed("a", 0, 0.0))
    assert times.expected_s("a") == UNKNOWN_RUN_S
