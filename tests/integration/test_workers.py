"""The worker pool with real processes: what runs, and what it says."""

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from penstock.worker.frames import JobNote
from services.executor.workers.options import UnknownType
from tests.support.worker_pool import (
    DEADLINE_S,
    job,
    outcome_of,
    outcomes,
    running,
)

APP_WITH_CORE = """
import sys
import core, services
from pathlib import Path
from penstock import task

@task("imports")
def imports(ctx, payload):
    here = str(Path(__file__).parent)
    names = ("core", "services", "schemas", "ports", "adapters")
    mine = [m for n, m in sys.modules.items() if n.split(".")[0] in names]
    return {
        "owners": [core.OWNER, services.OWNER],
        "ours": [m.__name__ for m in mine if not str(m.__file__).startswith(here)],
    }
"""


class TestRunning:
    async def test_async_and_sync_tasks_give_their_json_results(self) -> None:
        async with running() as pool:
            pool.submit([job(1, "echo", {"a": [1, "é"]}, attempt=2, dispatch=3), job(2, "echo.sync", [1.5])])
            found = await outcomes(pool, 2)
        assert msgspec.json.decode(found[1].result or b"") == {
            "payload": {"a": [1, "é"]},
            "job_id": "job-1",
            "attempt": 2,
            "dispatch": 3,
        }
        assert found[2].result == b"[1.5]"

    async def test_five_hundred_jobs_in_one_call_each_end_once(self) -> None:
        async with running(workers=2, slots_per_worker=64) as pool:
            pool.submit([job(number, "echo.sync" if number % 2 else "echo", number) for number in range(500)])
            assert pool.free_slots == 0
            found = await outcomes(pool, 500)
            assert pool.free_slots == 128
            assert pool.open_jobs == 0
        assert all(outcome.ok for outcome in found.values())
        assert [msgspec.json.decode(found[number].result or b"") for number in (1, 499)] == [1, 499]

    async def test_workers_report_the_policies_of_their_tasks(self) -> None:
        async with running() as pool:
            policy = pool.policies["echo"]
            assert (policy.timeout_s, policy.max_attempts, policy.uses) == (30.0, 3, ["smtp"])
            assert policy.retry is not None
            assert (policy.retry.base_s, policy.retry.cap_s) == (2.0, 60.0)
            assert pool.policies["limited"].concurrency == 2
            assert {"http.request", "penstock.replay"} <= pool.policies.keys()

    async def test_an_app_with_packages_named_as_ours_gets_its_own_and_none_of_ours(
        self, tmp_path: Path
    ) -> None:
        for package in ("core", "services", "schemas", "ports", "adapters"):
            (tmp_path / package).mkdir()
            (tmp_path / package / "__init__.py").write_text("OWNER = 'the app'\n")
        (tmp_path / "app_with_core.py").write_text(APP_WITH_CORE)
        async with running(app=("app_with_core",), app_path=(str(tmp_path),)) as pool:
            outcome = await outcome_of(pool, job(1, "imports"))
        assert msgspec.json.decode(outcome.result or b"") == {"owners": ["the app", "the app"], "ours": []}

    async def test_results_wait_in_the_worker_while_the_executor_is_busy(self) -> None:
        async with running(slots_per_worker=200) as pool:
            pool.submit([job(number, "large") for number in range(200)])
            # Far more than a socket holds, while this loop does not read.
            time.sleep(0.5)  # noqa: ASYNC251
            found = await outcomes(pool, 200)
        assert all(len(one.result or b"") == 60_002 for one in found.values())

    async def test_a_type_never_runs_above_its_concurrency_limit(self) -> None:
        async with running() as pool:
            pool.submit([job(number, "limited") for number in range(2)])
            assert not pool.free_for("limited")
            assert pool.free_for("noop")
            pool.submit([job(number, "limited") for number in range(2, 6)])
            started = time.monotonic()
            found = await outcomes(pool, 6)
            assert time.monotonic() - started >= 0.14
            assert pool.free_for("limited")
        assert all(outcome.ok for outcome in found.values())

    @pytest.mark.parametrize("treatment", list(UnknownType))
    async def test_an_unknown_type_fails_at_once_naming_the_known_ones(self, treatment: UnknownType) -> None:
        async with running(unknown_type=treatment) as pool:
            outcome = await outcome_of(pool, job(1, "ecko"))
        assert (outcome.ok, outcome.error_class, outcome.error_type) == (
            False,
            treatment.value,
            "UnknownTask",
        )
        assert "'ecko'" in outcome.message
        assert "echo" in outcome.message
        assert "--app" in outcome.message

    async def test_a_key_that_is_open_is_refused(self) -> None:
        async with running() as pool:
            pool.submit([job(1, "watchful")])
            with pytest.raises(ValueError, match="already running"):
                pool.submit([job(1, "noop")])


class TestFailures:
    @pytest.mark.parametrize(
        ("how", "error_class", "error_type"),
        [
            ("permanent", "permanent", "PermanentError"),
            ("overload", "overload", "OverloadError"),
            ("exit", "transient", "SystemExit"),
            ("nul", "transient", "ValueError"),
            ("big", "permanent", "PermanentError"),
            ("object", "permanent", "PermanentError"),
            ("unknown", "transient", "RuntimeError"),
        ],
    )
    async def test_a_failure_carries_its_class_and_log_tail(
        self, how: str, error_class: str, error_type: str
    ) -> None:
        async with running() as pool:
            outcome = await outcome_of(pool, job(1, "raise", {"how": how}))
            assert (await outcome_of(pool, job(2, "noop"))).ok
        assert (outcome.error_class, outcome.error_type) == (error_class, error_type)
        assert outcome.retry_after_s == (7 if how == "overload" else None)
        assert outcome.log_tail == [f"INFO about to fail why={how}"]
        assert "raise_it" in outcome.traceback or how in {"big", "object"}
        assert "\0" not in outcome.message + outcome.traceback
        assert len(outcome.message.encode()) <= 2048

    async def test_a_payload_outside_the_model_is_permanent_and_names_the_field_without_its_value(
        self,
    ) -> None:
        async with running() as pool:
            outcome = await outcome_of(pool, job(1, "typed", {"to": ["secret"]}))
        assert outcome.error_class == "permanent"
        assert "to: Input should be a valid string" in outcome.message
        assert "secret" not in outcome.message + outcome.traceback


class TestNotes:
    async def test_lines_and_the_newest_progress_arrive_bounded_with_the_overflow_said(self) -> None:
        async with running() as pool:
            pool.submit([job(1, "talk", {"lines": 250})])
            notes: list[JobNote] = []
            async with asyncio.timeout(DEADLINE_S):
                while not any("dropped" in line.text for note in notes for line in note.lines):
                    notes += await pool.notes()
        lines = [line.text for note in notes for line in note.lines]
        assert lines[:2] == ["line number=0", "line number=1"]
        assert len(lines) == 201
        assert lines[-1].startswith("50 more lines dropped")
        assert (notes[-1].progress, notes[-1].progress_message) == (1.0, "done")
