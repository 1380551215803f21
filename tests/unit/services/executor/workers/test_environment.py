"""What worker processes see of the executor's environment."""

import pytest

from services.executor.workers.process import _environment


def test_tasks_see_the_environment_and_not_the_key_that_signs_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_MODEL_KEY", "a key that nobody knows")
    monkeypatch.setenv("MY_SETTING", "1")
    seen = _environment()
    assert seen["MY_SETTING"] == "1"
    assert "PENSTOCK_MODEL_KEY" not in seen
