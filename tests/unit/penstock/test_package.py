"""What ``import penstock`` offers."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import penstock


def test_task_is_the_decorator_also_after_its_module_was_imported() -> None:
    code = "import penstock.task; from penstock import task; print(callable(task))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "True\n"


def test_importing_the_package_does_not_import_kafka_pydantic_or_asyncio() -> None:
    code = "import sys, penstock; print([m for m in ('aiokafka', 'pydantic', 'asyncio') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        getattr(penstock, "nonsense")  # noqa: B009


def test_every_exported_name_is_there() -> None:
    assert all(getattr(penstock, name) is not None for name in penstock.__all__)


def test_the_stub_exports_what_the_package_does() -> None:
    stub = Path(penstock.__file__).with_suffix(".pyi").read_text()
    named = re.findall(r"^from \S+ import (\w+) as \1$", stub, re.MULTILINE)
    assert sorted(named) == sorted(penstock.__all__)
