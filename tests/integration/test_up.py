"""The supervisor with real processes: nothing is lost at a crash, nothing is left at the end."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from adapters.embedded.env_file import read_env
from adapters.embedded.home import Home
from adapters.embedded.plan import DATABASE_KEY, KAFKA_KEY, MODEL_KEY, child_environment
from adapters.embedded.process_mark import is_running, mark_of
from adapters.embedded.state import Phase, SupervisorState, read_state
from tests.support.processes import Program, wait_until
from tests.support.servers import Servers, embedded_servers

GIVEN = {KAFKA_KEY: "broker.example:9092", DATABASE_KEY: "postgresql://a:b@db.example/x"}


def state_of(data: Path) -> SupervisorState:
    state = read_state(Home(data).state_file)
    assert state is not None
    return state


def pids_of(data: Path) -> set[int]:
    return {unit.mark.pid for unit in state_of(data).units.values() if unit.mark is not None}


def fake_pipeline(tmp_path: Path, name: str = "output", **env: str) -> Program:
    settings = GIVEN | {"FAKE_DIR": str(tmp_path)} | env
    return Program(tmp_path / name, "-m", "tests.support.fake_pipeline", str(tmp_path / "data"), env=settings)


def notes(tmp_path: Path, instance: str) -> list[Path]:
    return sorted(tmp_path.glob(f"{instance}.*"))


def grandchild(note: Path) -> int:
    return int(note.read_text().split()[0])


async def make_topic(bootstrap: str, name: str) -> None:
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await client.start()
    try:
        await client.create_topics([NewTopic(name, 1, 1)])
    finally:
        await client.close()


async def topics(bootstrap: str) -> set[str]:
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await client.start()
    try:
        return set(await client.list_topics())
    finally:
        await client.close()


def database_answers(servers: Servers) -> bool:
    try:
        with psycopg.connect(servers.database_url, connect_timeout=3) as connection:
            return connection.execute("select n from kept").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


async def test_data_and_addresses_survive_a_restart_and_a_crash_of_the_servers(tmp_path: Path) -> None:
    with embedded_servers(tmp_path) as first:
        await make_topic(first.kafka_bootstrap, "kept")
        with psycopg.connect(first.database_url, autocommit=True) as connection:
            connection.execute("create table kept as select 1 as n")
        key = read_env(tmp_path / "data" / "penstock.env")[MODEL_KEY]
        assert len(key) == 64
        assert Home(tmp_path / "data").model_key_file.stat().st_mode & 0o777 == 0o600
    with embedded_servers(tmp_path) as second:
        assert second == first
        assert read_env(tmp_path / "data" / "penstock.env")[MODEL_KEY] == key
        assert "kept" in await topics(second.kafka_bootstrap)
        before = pids_of(tmp_path / "data")
        for name in ("postgres", "kafka"):
            second.kill(name)
        wait_until(
            lambda: len(pids_of(tmp_path / "data") - before) == 2, "both servers were started again", 60
        )
        wait_until(lambda: database_answers(second), "the database answers with what was in it", 60)
    state = state_of(tmp_path / "data")
    assert state.phase is Phase.STOPPED
    assert all(unit.mark is None for unit in state.units.values())


def test_the_embedded_database_wants_its_password(servers: Servers) -> None:
    if servers.data is None:
        pytest.skip("these servers are not embedded ones")
    head, _, place = servers.database_url.rpartition("@")
    scheme_and_user = head.rpartition(":")[0]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"{scheme_and_user}:wrong@{place}")


def test_given_addresses_are_used_and_no_server_is_started(tmp_path: Path) -> None:
    with fake_pipeline(tmp_path) as program:
        program.wait_ready()
        assert set(state_of(tmp_path / "data").units) == {"first-0", "second-0", "second-1"}
        values = read_env(tmp_path / "data" / "penstock.env")
        assert {key: values[key] for key in GIVEN} == GIVEN
        assert MODEL_KEY not in values
        assert GIVEN[KAFKA_KEY] in notes(tmp_path, "first-0")[0].read_text()


def test_a_service_that_dies_comes_back_under_its_name_and_port(tmp_path: Path) -> None:
    with fake_pipeline(tmp_path) as program:
        program.wait_ready()
        before = state_of(tmp_path / "data")
        mark = before.units["first-0"].mark
        assert mark is not None
        orphan = grandchild(notes(tmp_path, "first-0")[0])
        os.kill(mark.pid, signal.SIGKILL)
        wait_until(lambda: len(notes(tmp_path, "first-0")) == 2, "a second start of the service")
        wait_until(lambda: mark_of(orphan) is None, "the end of what the dead service had left")
        after = state_of(tmp_path / "data")
        assert after.metrics == before.metrics
        assert after.units["first-0"].restarts == 1
        assert after.units["second-0"] == before.units["second-0"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_leaves_no_process_not_even_grandchildren(tmp_path: Path, signum: signal.Signals) -> None:
    with fake_pipeline(tmp_path) as program:
        program.wait_ready()
        everyone = pids_of(tmp_path / "data")
        everyone |= {grandchild(note) for note in notes(tmp_path, "*-*")}
        assert len(everyone) == 6
        assert program.stop(signum) == 0
        assert [pid for pid in everyone if mark_of(pid) is not None] == []


def test_a_second_signal_ends_a_service_that_will_not_stop(tmp_path: Path) -> None:
    with fake_pipeline(tmp_path, FAKE_STUBBORN="first-0") as program:
        program.wait_ready()
        program.process.send_signal(signal.SIGINT)
        wait_until(lambda: state_of(tmp_path / "data").phase is Phase.STOPPING, "the stop has begun")
        assert program.stop(signal.SIGINT, timeout_s=10) == 0


def test_a_second_start_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    with fake_pipeline(tmp_path) as program:
        program.wait_ready()
        with fake_pipeline(tmp_path, "second") as second:
            assert second.process.wait(30) == 1
            assert "already runs" in second.output
        assert program.process.poll() is None


def test_services_do_not_outlive_a_killed_supervisor_and_the_next_start_works(tmp_path: Path) -> None:
    with fake_pipeline(tmp_path) as program:
        program.wait_ready()
        marks = [unit.mark for unit in state_of(tmp_path / "data").units.values()]
        assert program.stop(signal.SIGKILL) == -signal.SIGKILL
        wait_until(lambda: not any(mark and is_running(mark) for mark in marks), "the services are gone")
    with fake_pipeline(tmp_path) as again:
        again.wait_ready()
        assert again.stop() == 0


def test_a_failing_preparation_ends_the_start_with_its_output(tmp_path: Path) -> None:
    with fake_pipeline(tmp_path, FAKE_PREPARE="raise SystemExit('no such cluster')") as program:
        assert program.process.wait(60) == 1
        assert "no such cluster" in program.output
    assert state_of(tmp_path / "data").phase is Phase.FAILED


def penstock(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user would, in a directory of the user's."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("PENSTOCK_")}
    return subprocess.run(
        (sys.executable, "-P", "-m", "penstock", *arguments),
        env=child_environment(own),
        cwd=cwd,
        check=False,
        capture_output=True,
        text=True,
        timeout=170,
    )


def test_the_whole_pipeline_comes_up_detached_and_goes_down(tmp_path: Path) -> None:
    try:
        up = penstock("up", "--detach", "--json", cwd=tmp_path)
        assert up.returncode == 0, up.stderr
        summary = json.loads(up.stdout)
        assert summary["env_file"] == str(tmp_path / ".penstock" / "penstock.env")
        state = state_of(tmp_path / ".penstock")
        assert state.phase is Phase.RUNNING
        marks = [unit.mark for unit in state.units.values()]
        again = penstock("up", cwd=tmp_path)
        assert again.returncode == 1
        assert "already runs" in again.stderr
    finally:
        down = penstock("down", cwd=tmp_path)
    assert down.returncode == 0, down.stderr
    assert not any(mark and is_running(mark) for mark in marks)
    assert penstock("down", cwd=tmp_path).stdout.startswith("nothing was running")
