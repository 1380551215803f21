import pytest

from core.gates.id_gate import Answer, Body, GateGapError, IdGate, Passed, Repeat, Submission
from core.ledger.fold import WrongEpochError
from penstock.identity import Origin, job_id_from_key, job_id_from_repeat

WINDOW_MS = 1000
SUPPLIED = "0189c1f0-0000-7000-8000-000000000001"
KEYED = job_id_from_key("t", "k")


def supplied(origin: str, submitted_ms: int = 0, body: int = 1) -> Submission:
    return Submission(SUPPLIED, origin, submitted_ms, f"{body:016x}", "t", None)


def keyed(origin: str, submitted_ms: int = 0, body: int = 1) -> Submission:
    return Submission(KEYED, origin, submitted_ms, f"{body:016x}", "t", "k")


def ask_all(gate: IdGate, *submissions: Submission) -> list[Answer]:
    return [gate.ask(offset, submission) for offset, submission in enumerate(submissions)]


@pytest.fixture
def gate() -> IdGate:
    return IdGate("e", WINDOW_MS)


def test_the_first_record_passes_and_another_origin_repeats_it(gate: IdGate) -> None:
    assert ask_all(gate, keyed("e:0:1"), keyed("e:1:5", 999)) == [
        Passed(KEYED),
        Repeat(KEYED, "e:0:1", Body.SAME),
    ]


def test_a_repeated_hand_over_passes_again(gate: IdGate) -> None:
    assert ask_all(gate, keyed("e:0:1"), keyed("e:0:2"), keyed("e:0:1"))[2] == Passed(KEYED)


def test_a_different_body_is_a_conflict(gate: IdGate) -> None:
    assert ask_all(gate, keyed("e:0:1"), keyed("e:0:2", body=2))[1] == Repeat(KEYED, "e:0:1", Body.DIFFERENT)


def test_a_key_used_again_after_its_window_is_a_new_job(gate: IdGate) -> None:
    again = job_id_from_repeat("t", "k", Origin("e", 0, 2))
    assert ask_all(
        gate, keyed("e:0:1"), keyed("e:0:2", WINDOW_MS, body=2), keyed("e:0:3", WINDOW_MS + 1, body=2)
    ) == [Passed(KEYED), Passed(again), Repeat(again, "e:0:2", Body.SAME)]


def test_a_hand_over_repeated_after_its_key_was_used_again_still_passes_as_itself(gate: IdGate) -> None:
    again = Passed(job_id_from_repeat("t", "k", Origin("e", 0, 2)))
    answers = ask_all(
        gate, keyed("e:0:1"), keyed("e:0:2", WINDOW_MS), keyed("e:0:1"), keyed("e:0:2", WINDOW_MS)
    )
    assert answers == [Passed(KEYED), again, Passed(KEYED), again]


def test_a_repeat_stays_a_repeat_when_its_hand_over_is_repeated_after_the_window(gate: IdGate) -> None:
    answers = ask_all(gate, keyed("e:0:1"), keyed("e:0:2", 999), keyed("e:0:9", 1999), keyed("e:0:2", 999))
    assert isinstance(answers[2], Passed)
    assert isinstance(answers[3], Repeat)


def test_a_supplied_id_names_one_job_for_ever(gate: IdGate) -> None:
    answers = ask_all(gate, supplied("e:0:1"), supplied("e:0:2", 10**12))
    assert answers == [Passed(SUPPLIED), Repeat(SUPPLIED, "e:0:1", Body.SAME)]


def test_records_read_again_get_the_answers_they_got(gate: IdGate) -> None:
    log = [
        keyed("e:0:1"),
        keyed("e:0:2", 5, body=2),
        keyed("e:0:3", 1000, body=3),
        keyed("e:0:4", 1500, body=3),
    ]
    first = ask_all(gate, *log)
    assert ask_all(gate, *log) == first
    assert gate.next_offset == 4


def test_a_gap_stops_the_fold(gate: IdGate) -> None:
    gate.skip(0)
    with pytest.raises(GateGapError, match="from offset 1 to 3"):
        gate.skip(3)


def test_a_record_of_another_epoch_stops_the_fold(gate: IdGate) -> None:
    with pytest.raises(WrongEpochError, match="epoch e"):
        gate.ask(0, keyed("f:0:1"))
