from typing import get_args

import pytest

from core.fault import LAWS, FaultClass, fault_class
from penstock.errors import ErrorClass


def test_every_class_a_task_can_raise_has_a_law() -> None:
    assert {str(fault) for fault in LAWS} == set(get_args(ErrorClass))


@pytest.mark.parametrize("fault", FaultClass)
def test_a_class_is_read_back_from_its_text(fault: FaultClass) -> None:
    assert fault_class(str(fault)) is fault


@pytest.mark.parametrize("text", ["", "PERMANENT", "out of cheese"])
def test_an_unknown_class_is_transient(text: str) -> None:
    assert fault_class(text) is FaultClass.TRANSIENT


def test_an_overloaded_dependency_is_left_alone_for_longer_than_a_flaky_one() -> None:
    overload, transient = LAWS[FaultClass.OVERLOAD], LAWS[FaultClass.TRANSIENT]
    assert overload.base_factor > transient.base_factor
    assert overload.cap_s > transient.cap_s
