import json
import sys
from pathlib import Path

import pytest

from penstock.demo.effects import append_effect, read_effects
from penstock.demo.generate import MIX
from penstock.demo.stack import TRACE_APP, app_environment
from penstock.demo.tasks import Work
from penstock.testing import run_task
from penstock.worker.app import load_app

TYPES = [mix.name for mix in MIX]


def work(folder: Path, **fields: object) -> dict[str, object]:
    return {"run_s": 0.01, "effects_file": str(folder / "effects"), **fields}


@pytest.mark.parametrize("job_type", TYPES)
def test_every_type_of_the_mix_runs_and_leaves_start_and_end(tmp_path: Path, job_type: str) -> None:
    done = run_task(job_type, work(tmp_path, cpu_s=0.001), job_id="00000000-0000-0000-0000-000000000001")
    assert done.ok
    assert done.result == {"attempt": 1, "run_s": 0.01}
    lines = read_effects(tmp_path / "effects").lines
    assert [(line.event, line.outcome, line.dispatch) for line in lines] == [
        ("start", "", 1),
        ("end", "ok", 1),
    ]


@pytest.mark.parametrize("job_type", ["email.send", "model.score"])
@pytest.mark.parametrize("outcome", ["permanent", "transient", "overload"])
def test_a_failing_outcome_raises_its_class(tmp_path: Path, job_type: str, outcome: str) -> None:
    done = run_task(job_type, work(tmp_path, outcome=outcome))
    assert done.error_class == outcome
    assert (done.retry_after_s is not None) == (outcome == "overload")
    assert read_effects(tmp_path / "effects").lines[-1].outcome == type(done.error).__name__


def test_only_the_first_attempts_fail_when_so_many_are_named(tmp_path: Path) -> None:
    fails = work(tmp_path, outcome="transient", fail_attempts=2)
    assert [run_task("email.send", fails, attempt=n).ok for n in (1, 2, 3)] == [False, False, True]


@pytest.mark.parametrize("job_type", ["email.send", "image.resize"])
def test_an_overrunning_attempt_is_stopped_by_its_limit(tmp_path: Path, job_type: str) -> None:
    overrun = work(tmp_path, outcome="overrun", overrun_s=30, fail_attempts=1)
    stopped = run_task(job_type, overrun, timeout=0.2)
    assert stopped.error_class == "timeout"
    assert read_effects(tmp_path / "effects").lines[-1].event == "end"
    assert run_task(job_type, overrun, attempt=2, timeout=5).ok


def test_a_payload_without_effects_file_is_refused(tmp_path: Path) -> None:
    assert run_task("email.send", {"run_s": 1}).error_class == "permanent"


def test_work_says_how_long_each_attempt_takes() -> None:
    one = Work(run_s=1, outcome="overrun", overrun_s=30, fail_attempts=1, effects_file="x")
    assert (one.length_s(1), one.length_s(2)) == (30, 1)


def test_lines_that_are_no_effect_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "effects"
    append_effect(str(path), "a", 1, 1, "start")
    with path.open("a") as file:
        file.write('{"job_id": "a"}\nhalf a li')
    effects = read_effects(path)
    assert len(effects.lines) == 1
    assert effects.unreadable == 2


def test_a_trace_has_its_own_types_declared_as_replays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, TRACE_APP, raising=False)
    environment = app_environment({"X": "1"}, tmp_path, ("google.type-1", "swf.app-2"), workers=2, slots=8)
    registry = load_app([environment["PENSTOCK_APP"]], [environment["PENSTOCK_APP_PATH"]])
    assert environment["X"] == "1"
    effects = str(tmp_path / "effects")
    for name in ("google.type-1", "swf.app-2"):
        declared = registry.get(name)
        assert declared is not None
        assert run_task(declared.function, {"run_s": 0, "outcome": "ok", "effects_file": effects}).ok


def test_the_generated_mix_needs_no_app_of_its_own(tmp_path: Path) -> None:
    environment = app_environment({}, tmp_path / "app", (), workers=2, slots=8)
    registry = load_app([environment["PENSTOCK_APP"]])
    assert all(registry.get(name) for name in TYPES)
    assert not (tmp_path / "app").exists()


def test_an_effect_is_one_line_of_json(tmp_path: Path) -> None:
    path = tmp_path / "effects"
    append_effect(str(path), "a", 3, 2, "end", "ok")
    said = json.loads(path.read_text())
    assert {key: said[key] for key in ("job_id", "dispatch", "attempt", "event", "outcome")} == {
        "job_id": "a",
        "dispatch": 3,
        "attempt": 2,
        "event": "end",
        "outcome": "ok",
    }
