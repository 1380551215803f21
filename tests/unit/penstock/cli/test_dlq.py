"""The desk's own small rules: filters, cells, and what a question says."""

from datetime import UTC, datetime

import pytest

from core.desk import Candidate
from penstock.cli.dlq_export import cell
from penstock.cli.dlq_filter import LetterFilter
from penstock.cli.dlq_options import as_written, counted
from penstock.cli.dlq_rows import FoundLetter
from penstock.client import InvalidFilter

ID = "6f1c9a52-8d0b-5c7e-9b1e-3f6d2a4c8e10"


def test_a_filter_reads_conditions_of_jobs_and_of_letters() -> None:
    found = LetterFilter.parse(
        [
            "type=a,b tenant='Acme & Co' label.x=y older-than=1d",
            f"signature=s1,c:T class=poison job={ID.upper()}",
        ]
    )
    assert found == LetterFilter(
        types=("a", "b"),
        tenants=("Acme & Co",),
        labels={"x": "y"},
        older_than_s=86_400,
        signatures=("s1", "c:T"),
        error_classes=("poison",),
        job_ids=(ID,),
    )
    assert not found.is_empty
    assert LetterFilter.parse([]).is_empty
    assert found.parameters()["states"] == ["dead"]
    assert (
        LetterFilter.parse(["error=KeyError dead-for=1h dead-within=2h"]).parameters()["dead_within_s"]
        == 7200
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("state=dead", "no condition is called 'state'"),
        ("job=x", "is no job id"),
        ("dead-for=soon", "dead-for is 'soon'"),
        ("everything", "is no condition"),
    ],
)
def test_what_is_no_condition_of_letters_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidFilter, match=said):
        LetterFilter.parse([text])


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, ""),
        ("plain", "plain"),
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2", "'-2"),
        (3, "3"),
        (["=a"], '["=a"]'),
        ({"a": 1}, '{"a":1}'),
        (datetime(2030, 1, 31, tzinfo=UTC), "2030-01-31T00:00:00Z"),
    ],
)
def test_no_cell_is_a_formula(value: object, written: str) -> None:
    assert cell(value) == written


def test_a_question_says_how_many_of_what() -> None:
    letters = [FoundLetter(Candidate(ID, 1, 0, False), sign, None) for sign in ("a", "b", "a")]
    assert counted(letters) == "3 dead jobs (2 of a, 1 of b)"
    assert counted(letters[:1]) == "1 dead job (1 of a)"
    assert as_written([ID], None) == f"job={ID}"
    assert as_written([str(number) for number in range(10)], None).endswith("7 and 2 more")
    assert as_written(None, ["type=a", "class=poison"]) == "type=a class=poison"
