"""The worker pool with real processes: what runs, what is killed, and who pays for it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.errors import AppImportError
from penstock.worker.frames import JobNote, JobOutcome, StartJob
from services.executor.workers.blame import Cause
from services.executor.workers.options import PoolOptions, UnknownType
from services.executor.workers.pool import WorkerPool
from services.executor.workers.process import WorkerStartError

HERE = Path(__file__).parent
APP = HERE / "worker_app"
DEADLINE_S = 20

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


def job(
    number: int, task: str, payload: object = None, timeout_s: float = 60.0, **overrides: Any
) -> StartJob:
    made = StartJob(
        key=f"epoch:0:{number}/1",
        job_id=f"job-{number}",
        type=task,
        tenant="default",
        attempt=1,
        dispatch=1,
        deadline_ms=None,
        labels={},
        payload=msgspec.json.encode({} if payload is None else payload),
        timeout_s=timeout_s,
    )
    return msgspec.structs.replace(made, **overrides)


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[WorkerPool]:
    settings = {"app": ("jobs_of_tests",), "app_path": (str(APP),), "timeout_grace_s": 0.3, **options}
    pool = WorkerPool(PoolOptions(**settings))
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop(0.0)


async def outcomes(pool: WorkerPool, count: int) -> dict[int, JobOutcome]:
    """Wait for this many outcomes, by the jobs' numbers."""
    found: dict[int, JobOutcome] = {}
    async with asyncio.timeout(DEADLINE_S):
        while len(found) < count:
            for outcome in await pool.outcomes():
                number = int(outcome.key.split("/")[0].rsplit(":", 1)[1])
                assert number not in found, "a second outcome of one job"
                found[number] = outcome
    return found


async def outcome_of(pool: WorkerPool, one: StartJob) -> JobOutcome:
    pool.submit([one])
    (only,) = (await outcomes(pool, 1)).values()
    return only


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


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


class TestTimeouts:
    async def test_an_async_task_is_cancelled_at_its_timeout_and_its_worker_lives(self) -> None:
        async with running() as pool:
            (pid,) = pool.pids
            outcome = await outcome_of(pool, job(1, "sleep", {"s": 60}, timeout_s=0.2))
            assert pool.pids == [pid]
        assert (outcome.error_class, outcome.error_type) == ("timeout", "TaskTimeout")
        assert 0.15 <= outcome.run_s < 2

    async def test_a_sync_task_that_looks_leaves_at_its_timeout(self) -> None:
        async with running() as pool:
            outcome = await outcome_of(pool, job(1, "sleep.sync", timeout_s=0.2))
            assert pool.deaths == {}
        assert (outcome.error_class, outcome.error_type) == ("timeout", "TaskTimeout")

    @pytest.mark.parametrize("task", ["spin.sync", "stubborn"])
    async def test_a_task_that_does_not_stop_loses_its_worker_and_its_neighbours_are_given_back(
        self, task: str
    ) -> None:
        async with running() as pool:
            (pid,) = pool.pids
            pool.submit([job(1, task, timeout_s=0.3), job(2, "watchful")])
            found = await outcomes(pool, 2)
            assert not is_alive(pid)
            assert (await outcome_of(pool, job(3, "noop"))).ok
        assert (found[1].error_class, found[1].collateral, found[1].cohort) == ("timeout", False, 2)
        assert (found[2].error_class, found[2].error_type, found[2].collateral) == (
            "lost",
            "WorkerKilled",
            True,
        )

    async def test_a_blocked_loop_is_blamed_on_the_job_that_holds_it(self) -> None:
        async with running() as pool:
            pool.submit([job(1, "watchful", timeout_s=0.3), job(2, "spin.async", timeout_s=0.3)])
            found = await outcomes(pool, 2)
        assert (found[2].error_class, found[2].collateral) == ("timeout", False)
        assert (found[1].error_class, found[1].collateral) == ("lost", True)

    async def test_a_job_that_holds_the_loop_within_its_own_timeout_is_named(self) -> None:
        async with running() as pool:
            pool.submit([job(1, "watchful", timeout_s=0.3), job(2, "spin.async", timeout_s=60)])
            found = await outcomes(pool, 2)
        assert (found[2].error_class, found[2].error_type) == ("lost", "LoopBlocked")
        assert found[1].collateral

    async def test_the_services_own_loop_stays_free_while_a_worker_is_stuck(self) -> None:
        async with running() as pool:
            pool.submit([job(1, "spin.async", timeout_s=0.6)])
            longest = 0.0
            ending = asyncio.ensure_future(outcomes(pool, 1))
            while not ending.done():
                began = time.monotonic()
                await asyncio.sleep(0.005)
                longest = max(longest, time.monotonic() - began)
        assert longest < 0.4


class TestCancelling:
    async def test_a_task_that_looks_sees_the_cancel(self) -> None:
        async with running() as pool:
            pool.submit([job(1, "watchful")])
            pool.cancel("epoch:0:1/1")
            found = await outcomes(pool, 1)
        assert found[1].result == b'"saw it"'

    async def test_an_async_task_is_cancelled_after_the_grace_and_not_retried(self, tmp_path: Path) -> None:
        async with running(cancel_grace_s=0.2) as pool:
            started = tmp_path / "started"
            pool.submit([job(1, "sleep", {"s": 60, "file": str(started)})])
            await until(started.exists)
            pool.cancel("epoch:0:1/1")
            found = await outcomes(pool, 1)
        assert (found[1].error_class, found[1].error_type) == ("permanent", "Cancelled")
        assert found[1].run_s >= 0.15

    async def test_a_cancel_before_the_first_step_still_gives_an_outcome(self) -> None:
        async with running(cancel_grace_s=0) as pool:
            pool.submit([job(number, "sleep", {"s": 60}) for number in range(32)])
            for number in range(32):
                pool.cancel(f"epoch:0:{number}/1")
            found = await outcomes(pool, 32)
        assert {outcome.error_type for outcome in found.values()} == {"Cancelled"}

    async def test_a_job_that_waits_for_a_slot_ends_at_once(self) -> None:
        async with running(slots_per_worker=1) as pool:
            pool.submit([job(1, "watchful"), job(2, "noop")])
            pool.cancel("epoch:0:2/1")
            found = await outcomes(pool, 1)
        assert found[2].error_type == "Cancelled"


class TestDyingWorkers:
    async def test_a_killed_workers_jobs_are_lost_and_another_worker_takes_its_place(self) -> None:
        async with running() as pool:
            (pid,) = pool.pids
            pool.submit([job(1, "watchful"), job(2, "watchful")])
            os.kill(pid, signal.SIGKILL)
            found = await outcomes(pool, 2)
            pool.submit([job(3, "pid")])
            after = await outcomes(pool, 1)
        assert {(one.error_class, one.error_type, one.collateral, one.cohort) for one in found.values()} == {
            ("lost", "WorkerDied", False, 2)
        }
        assert "SIGKILL" in found[1].message
        assert msgspec.json.decode(after[3].result or b"0") != pid

    async def test_a_crash_in_native_code_names_the_signal(self) -> None:
        async with running() as pool:
            outcome = await outcome_of(pool, job(1, "die"))
        assert (outcome.error_type, outcome.cohort) == ("WorkerDied", 1)
        assert "SIGSEGV" in outcome.message

    async def test_outcomes_sent_before_a_death_still_count(self) -> None:
        async with running(slots_per_worker=201) as pool:
            pool.submit([job(number, "echo", number) for number in range(200)])
            pool.submit([job(200, "die", {"after_s": 0.2})])
            # Data, end of file and exit all wait for this loop when it turns again.
            time.sleep(0.6)  # noqa: ASYNC251
            found = await outcomes(pool, 201)
        assert sum(one.ok for one in found.values()) == 200

    async def test_a_leak_is_killed_at_the_memory_limit(self) -> None:
        async with running(memory_limit_bytes=256 * 1024 * 1024) as pool:
            outcome = await outcome_of(pool, job(1, "leak"))
            assert pool.deaths == {Cause.MEMORY: 1}
        assert (outcome.error_class, outcome.error_type) == ("lost", "MemoryLimitExceeded")
        assert "MiB" in outcome.message

    async def test_processes_a_handler_started_end_with_its_worker(self) -> None:
        async with running() as pool:
            outcome = await outcome_of(pool, job(1, "child"))
            child = msgspec.json.decode(outcome.result or b"0")
            assert is_alive(child)
            os.kill(pool.pids[0], signal.SIGKILL)
            await until(lambda: not is_alive(child))


class TestLeases:
    async def test_a_worker_outlives_its_first_lease_when_renewed_and_not_otherwise(self) -> None:
        async with running() as pool:
            (pid,) = pool.pids
            pool.submit([job(1, "spin.async")])
            began = time.monotonic()
            for _ in range(4):
                pool.renew_lease(0.6)
                await asyncio.sleep(0.3)
            assert is_alive(pid)
            found = await outcomes(pool, 1)
            assert 1.3 <= time.monotonic() - began < 5
        assert (found[1].error_type, "its lease ended" in found[1].message) == ("WorkerDied", True)

    async def test_a_stopped_worker_dies_when_its_lease_ends(self) -> None:
        async with running() as pool:
            (pid,) = pool.pids
            pool.renew_lease(1.0)
            # Its outcome shows that the worker read the lease, which was sent before it.
            await outcome_of(pool, job(1, "noop"))
            os.kill(pid, signal.SIGSTOP)
            await until(lambda: not is_alive(pid))

    async def test_a_lapse_drops_what_runs_and_what_waits_and_the_next_workers_serve_on(self) -> None:
        async with running(slots_per_worker=2) as pool:
            pool.renew_lease(30)
            (pid,) = pool.pids
            pool.submit([job(1, "spin.sync"), job(2, "stubborn"), job(3, "noop")])
            dropped = await pool.kill_all()
            assert not is_alive(pid)
            assert sorted(dropped) == [f"epoch:0:{number}/1" for number in (1, 2, 3)]
            assert pool.open_jobs == 0
            assert (await outcome_of(pool, job(1, "noop"))).ok


@contextmanager
def parent_process(lease_s: float) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    script = str(HERE / "parent_of_worker.py")
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    with subprocess.Popen(
        [sys.executable, script, str(APP), str(lease_s)], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        try:
            yield parent, [int(pid) for pid in parent.stdout.readline().split()]
        finally:
            parent.kill()


class TestStopping:
    async def test_a_stop_waits_for_running_jobs_and_gives_back_the_rest(self) -> None:
        async with running(slots_per_worker=2) as pool:
            pool.submit([job(1, "sleep", {"s": 0.3}), job(2, "stubborn"), job(3, "noop")])
            pids = pool.pids
            await pool.stop(0.8)
            found = await outcomes(pool, 3)
            assert await pool.outcomes() == []
            assert not any(map(is_alive, pids))
            with pytest.raises(ValueError, match="stops"):
                pool.submit([job(4, "noop")])
        assert found[1].ok
        assert all(found[number].collateral for number in (2, 3))

    async def test_a_reader_hears_every_outcome_until_the_pool_has_stopped(self) -> None:
        heard: list[JobOutcome] = []
        async with running() as pool:
            pool.submit([job(1, "noop"), job(2, "sleep", {"s": 0.3}), job(3, "stubborn")])

            async def read() -> None:
                while batch := await pool.outcomes():
                    heard.extend(batch)

            reader = asyncio.ensure_future(read())
            await pool.stop(0.8)
            await asyncio.wait_for(reader, DEADLINE_S)
        assert sorted(outcome.ok for outcome in heard) == [False, True, True]

    async def test_an_app_that_cannot_be_imported_stops_the_start_with_traceback_and_remedy(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "broken_app.py").write_text("import no_such_library\n")
        with pytest.raises(AppImportError) as caught:
            async with running(app=("broken_app",), app_path=(str(tmp_path),), workers=2):
                pass
        assert "import no_such_library" in str(caught.value)
        assert "install 'no_such_library'" in str(caught.value)

    async def test_an_app_that_ends_the_process_at_import_stops_the_start(self, tmp_path: Path) -> None:
        (tmp_path / "fatal_app.py").write_text("import os\nos._exit(9)\n")
        with pytest.raises(WorkerStartError, match="exited with status 9"):
            async with running(app=("fatal_app",), app_path=(str(tmp_path),)):
                pass

    async def test_an_app_that_hangs_at_import_stops_the_start(self, tmp_path: Path) -> None:
        (tmp_path / "slow_app.py").write_text("import time\ntime.sleep(60)\n")
        with pytest.raises(WorkerStartError, match="did not import slow_app"):
            async with running(app=("slow_app",), app_path=(str(tmp_path),), start_timeout_s=0.5):
                pass


class TestExecutorDeath:
    async def test_workers_end_when_their_executor_is_killed(self) -> None:
        with parent_process(lease_s=600) as (parent, pids):
            assert len(pids) == 2
            assert all(map(is_alive, pids))
            parent.send_signal(signal.SIGKILL)
            await until(lambda: not any(map(is_alive, pids)))

    async def test_workers_of_a_stopped_executor_end_with_their_lease(self) -> None:
        with parent_process(lease_s=2) as (parent, pids):
            parent.send_signal(signal.SIGSTOP)
            try:
                await until(lambda: not any(map(is_alive, pids)))
            finally:
                parent.send_signal(signal.SIGCONT)
