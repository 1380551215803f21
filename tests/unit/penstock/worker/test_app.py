"""Loading an app."""

import sys
from pathlib import Path

import pytest

from penstock.errors import AppImportError
from penstock.worker.app import load_app, policies


@pytest.fixture(autouse=True)
def _own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", sys.path.copy())


def test_tasks_of_a_modules_own_registry_and_the_built_in_ones_are_found(tmp_path: Path) -> None:
    (tmp_path / "app_with_registry.py").write_text(
        "from penstock.task import Registry, task\n"
        "mine = Registry()\n"
        "@task('mine.one', registry=mine, concurrency=3)\n"
        "def one(ctx, payload): ...\n"
    )
    found = {policy.type: policy for policy in policies(load_app(["app_with_registry"], [str(tmp_path)]))}
    assert found["mine.one"].concurrency == 3
    assert {"http.request", "penstock.replay"} <= found.keys()


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("import no_such_library", "install 'no_such_library'"),
        ("1/0", "ZeroDivisionError"),
        ("raise SystemExit(2)", "SystemExit: 2"),
        ("from penstock.task import task\n@task('x')\ndef f(a): ...\n", "write def handler(ctx, payload)"),
    ],
)
def test_a_broken_module_is_reported_with_traceback_and_remedy(
    tmp_path: Path, source: str, shown: str
) -> None:
    name = f"broken_{abs(hash(source))}"
    (tmp_path / f"{name}.py").write_text(source)
    with pytest.raises(AppImportError, match="Remedy") as caught:
        load_app([name], [str(tmp_path)])
    assert shown in str(caught.value)


def test_a_missing_module_says_where_was_looked(tmp_path: Path) -> None:
    with pytest.raises(AppImportError, match="where no_such_app can be imported"):
        load_app(["no_such_app"], [str(tmp_path)])
