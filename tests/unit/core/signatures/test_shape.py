import traceback

import pytest

from core.signatures.shape import Group, location_of, shape_of

IN_APP = """Traceback (most recent call last):
  File "/srv/app/jobs/billing.py", line 12, in charge
    return gateway.pay(amount)
           ^^^^^^^^^^^^^^^^^^^
  File "/srv/app/.venv/lib/python3.12/site-packages/payments/api.py", line 99, in pay
    raise Refused(1234)
payments.api.Refused: 1234
"""


def fails() -> str:
    def inner() -> None:
        raise ValueError("no")

    try:
        inner()
    except ValueError:
        return traceback.format_exc()
    return ""


def test_it_is_the_innermost_frame_of_the_app() -> None:
    assert location_of(IN_APP) == "billing.py:charge"


def test_what_python_prints_is_read() -> None:
    assert location_of(fails()) == "test_shape.py:inner"


def test_without_a_frame_of_the_app_it_is_the_innermost_of_all() -> None:
    assert (
        location_of('  File "/x/lib/python3.12/asyncio/tasks.py", line 3, in wait_for') == "tasks.py:wait_for"
    )
    assert location_of("") == ""


def test_of_a_chain_it_is_the_error_that_was_raised_last() -> None:
    chain = (
        '  File "/srv/app/a.py", line 1, in first\n\nThe above exception was the direct cause of the '
        'following exception:\n\n  File "/srv/app/b.py", line 2, in second\nValueError: x'
    )
    assert location_of(chain) == "b.py:second"


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("/srv/app/jobs/__init__.py", "jobs/__init__.py"),
        ("C:\\\\app\\\\jobs\\\\mail.py", "mail.py"),
        ("<string>", "<string>"),
        ("/a/0123456789abcdef0123.py", "<num>.py"),
    ],
)
def test_a_file_is_named_without_directories(path: str, file: str) -> None:
    assert location_of(f'  File "{path}", line 7, in run') == f"{file}:run"


def test_a_message_that_looks_like_a_frame_is_none() -> None:
    message = 'bad template\n  File "/home/ann/secret.py", line 3, in hunter'
    shape = shape_of("transient", "ValueError", message, f"{IN_APP}ValueError: {message}")
    assert shape.group == Group("transient", "ValueError", "billing.py:charge")


def test_an_unknown_class_is_transient_and_a_made_up_type_is_bounded() -> None:
    shape = shape_of("strange", "Error_20261127" + "x" * 500, "no", "")
    assert shape.group.error_class == "transient"
    assert shape.group.error_type.startswith("Error_<num>x")
    assert len(shape.group.error_type) == 120
