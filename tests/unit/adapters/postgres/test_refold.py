from adapters.postgres.comparison import Image, difference
from adapters.postgres.refold import fresh_fold
from tests.support.ledger_stories import EPOCH, Event, accepted, claimed, job_id_of, succeeded, written

EVENTS: list[Event] = [accepted(), claimed(), succeeded()]
JOB = f"jobs/{job_id_of(0)}"
ATTEMPT = f"job_attempts/{job_id_of(0)}/1"


def fold() -> Image:
    return fresh_fold(written(EVENTS), EPOCH)


def test_equal_tables_have_no_difference() -> None:
    assert difference(fold(), fold()) == []
    assert set(fold()) == {JOB, ATTEMPT}


def test_a_planted_wrong_value_is_named() -> None:
    found = fold()
    found[JOB]["state"] = "dead"
    assert difference(fold(), found) == [f"{JOB}: state is 'dead', the log says 'succeeded'"]


def test_a_missing_and_a_surplus_row_are_named() -> None:
    found = fold()
    del found[ATTEMPT]
    found["jobs/x"] = {}
    assert difference(fold(), found) == [
        f"{ATTEMPT}: the log has it, the table has not",
        "jobs/x: the table has it, the log has not",
    ]


def test_only_the_first_differences_are_named() -> None:
    found: Image = {f"jobs/{number}": {} for number in range(50)}
    assert len(difference({}, found, limit=3)) == 3


def test_json_is_compared_by_value_with_exact_numbers() -> None:
    one = fresh_fold(written([claimed(), succeeded(result=b'{"a":1.0,"b":1e2}')]), EPOCH)
    same = fresh_fold(written([claimed(), succeeded(result=b'{"b":100,"a":1}')]), EPOCH)
    other = fresh_fold(written([claimed(), succeeded(result=b'{"b":100,"a":1.0000000000000001}')]), EPOCH)
    assert difference(one, same) == []
    assert len(difference(one, other)) == 1
