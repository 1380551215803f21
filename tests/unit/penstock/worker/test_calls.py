import pytest

from penstock.errors import OverloadError, PermanentError, TaskError, TransientError
from penstock.worker.calls import is_unclassified


class Busy(Exception):  # noqa: N818 - as libraries name theirs
    retry_after_s = 3.0


class Vague(Exception):  # noqa: N818
    retry_after_s = "soon"


@pytest.mark.parametrize(
    ("error", "vague"),
    [
        (ValueError("no"), True),
        (KeyError("x"), True),
        (Vague(), True),
        (Busy(), False),
        (ConnectionResetError(), False),
        (TimeoutError(), False),
        (FileNotFoundError(), False),
        (TaskError(), False),
        (TransientError("again"), False),
        (OverloadError("less"), False),
        (PermanentError("no"), False),
    ],
)
def test_an_error_says_something_by_its_class_or_by_when_to_come_back(error: Exception, vague: bool) -> None:
    assert is_unclassified(error) is vague
