"""The worker pool with real processes: what is stopped or killed, and who pays for it."""

import asyncio
import os
import signal
import time
from pathlib import Path

import msgspec
import pytest

from penstock.errors import AppImportError
from penstock.worker.frames import JobOutcome
from services.executor.leased import boot_clock_s
from services.executor.workers.blame import Cause
from services.executor.workers.process import WorkerStartError
from tests.support.worker_pool import (
    DEADLINE_S,
    is_alive,
    job,
    outcome_of,
    outcomes,
    parent_process,
    running,
    until,
)


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

    async def test_a_sync_task_that_never_looks_is_killed_after_the_grace_and_its_neighbours_pay_nothing(
        self, tmp_path: Path
    ) -> None:
        async with running(cancel_grace_s=0.3) as pool:
            started = tmp_path / "started"
            pool.submit([job(1, "deaf", {"file": str(started)}), job(2, "watchful"), job(3, "sleep.sync")])
            await until(started.exists)
            (pid,) = pool.pids
            began = time.monotonic()
            pool.cancel("epoch:0:1/1")
            found = await outcomes(pool, 3)
            assert time.monotonic() - began >= 0.3
            assert not is_alive(pid)
            assert pool.deaths == {Cause.CANCEL: 1}
            assert (await outcome_of(pool, job(4, "noop"))).ok
        killed = found[1]
        assert (killed.error_class, killed.error_type, killed.collateral) == ("permanent", "Cancelled", False)
        assert "ctx.raise_if_cancelled()" in killed.message
        assert [(found[n].error_type, found[n].collateral) for n in (2, 3)] == [("WorkerKilled", True)] * 2

    async def test_an_async_task_that_swallows_its_cancellation_is_killed(self) -> None:
        async with running(cancel_grace_s=0.1) as pool:
            pool.submit([job(1, "stubborn")])
            pool.cancel("epoch:0:1/1")
            found = await outcomes(pool, 1)
            assert pool.deaths == {Cause.CANCEL: 1}
        assert (found[1].error_type, found[1].collateral) == ("Cancelled", False)

    async def test_a_tasks_own_grace_goes_before_that_of_the_executor(self, tmp_path: Path) -> None:
        async with running(cancel_grace_s=3600.0) as pool:
            started = tmp_path / "started"
            pool.submit([job(1, "deaf.hasty", {"file": str(started)})])
            await until(started.exists)
            pool.cancel("epoch:0:1/1")
            assert (await outcomes(pool, 1))[1].error_type == "Cancelled"

    async def test_a_cancel_gives_no_attempt_longer_than_its_timeout_would(self, tmp_path: Path) -> None:
        async with running(cancel_grace_s=3600.0) as pool:
            started = tmp_path / "started"
            pool.submit([job(1, "deaf", {"file": str(started)}, timeout_s=1.0)])
            await until(started.exists)
            pool.cancel("epoch:0:1/1")
            assert (await outcomes(pool, 1))[1].error_type == "Cancelled"

    async def test_who_holds_the_loop_is_not_blamed_for_a_cancelled_neighbour(self, tmp_path: Path) -> None:
        async with running(cancel_grace_s=0.2) as pool:
            started = tmp_path / "started"
            pool.submit([job(1, "deaf", {"file": str(tmp_path / "deaf")})])
            await until((tmp_path / "deaf").exists)
            pool.submit([job(2, "blocks", {"file": str(started), "s": 60})])
            await until(started.exists)
            pool.cancel("epoch:0:1/1")
            found = await outcomes(pool, 2)
        assert (found[1].error_type, found[1].collateral) == ("Cancelled", False)
        assert (found[2].error_type, found[2].collateral) == ("WorkerKilled", True)

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
                pool.renew_lease(boot_clock_s() + 0.6)
                await asyncio.sleep(0.3)
            assert is_alive(pid)
            found = await outcomes(pool, 1)
            assert 1.3 <= time.monotonic() - began < 5
        assert (found[1].error_type, "its lease ended" in found[1].message) == ("WorkerDied", True)

    async def test_a_stopped_worker_dies_when_its_lease_ends(self) -> None:
        async with running() as pool:
            (pid,) = pool.pids
            pool.renew_lease(boot_clock_s() + 1.0)
            # Its outcome shows that the worker read the lease, which was sent before it.
            await outcome_of(pool, job(1, "noop"))
            os.kill(pid, signal.SIGSTOP)
            await until(lambda: not is_alive(pid))

    async def test_a_worker_that_ends_with_its_lease_is_followed_by_one_that_outlives_the_lapse(self) -> None:
        async with running() as pool:
            pool.renew_lease(boot_clock_s() + 0.3)
            await until(lambda: pool.deaths[Cause.DIED] == 1)
            # Longer than the pause before the next one: it waits for word about the lease.
            await asyncio.sleep(0.5)
            assert pool.open_jobs == 0
            await pool.kill_all()
            pool.renew_lease(boot_clock_s() + 30)
            assert (await outcome_of(pool, job(1, "noop"))).ok
            assert sum(pool.deaths.values()) == 1

    async def test_a_lapse_drops_what_runs_and_what_waits_and_the_next_workers_serve_on(self) -> None:
        async with running(slots_per_worker=2) as pool:
            pool.renew_lease(boot_clock_s() + 30)
            (pid,) = pool.pids
            pool.submit([job(1, "spin.sync"), job(2, "stubborn"), job(3, "noop")])
            dropped = await pool.kill_all()
            assert not is_alive(pid)
            assert sorted(dropped) == [f"epoch:0:{number}/1" for number in (1, 2, 3)]
            assert pool.open_jobs == 0
            assert (await outcome_of(pool, job(1, "noop"))).ok


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
