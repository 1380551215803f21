"""Kill any one process while jobs flow.

What does this test do?
    It runs the demo and, once jobs are ending, kills one process of the pipeline with SIGKILL: a
    service, the broker or Postgres. The demo's own verification is the verdict: every job ended,
    the table equals a fresh fold of the log, no dispatch ran twice, no two overlapped.

How does it accomplish this?
    ``penstock demo --json`` runs as a person would start it, with a short lease so that lost work
    comes back soon. The victim's pid is read from the supervisor's state file, and checked against
    the start time recorded there. The supervisor starts the victim again.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from adapters.embedded.env_file import EnvFileError, read_env
from adapters.embedded.home import Home
from adapters.embedded.process_mark import signal_marked
from adapters.embedded.state import read_state
from core.services import SERVICES
from tests.support.processes import wait_until

JOBS = 300
KILL_AFTER_ENDED = 60
TIMEOUT_S = 400
VICTIMS = [spec.name for spec in SERVICES] + ["kafka", "postgres"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One data directory for all victims: later runs fold what earlier ones left."""
    return tmp_path_factory.mktemp("chaos")


def start_demo(data: Path, output: Path) -> subprocess.Popen[str]:
    own = {"PENSTOCK_KAFKA_BOOTSTRAP", "PENSTOCK_DATABASE_URL"}
    environment = {key: value for key, value in os.environ.items() if key not in own}
    environment |= {"PENSTOCK_LEASE_S": "8", "PENSTOCK_HEARTBEAT_S": "0.5"}
    arguments = ["demo", "--data", str(data), "--json", "--jobs", str(JOBS)]
    with output.open("w") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "penstock", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )


def ended_jobs(home: Home) -> int:
    """Jobs that have ended, as the table says; 0 while it cannot be asked."""
    try:
        url = read_env(home.env_file)["PENSTOCK_DATABASE_URL"]
        with psycopg.connect(url, connect_timeout=2) as connection:
            row = connection.execute("select count(*) from jobs where finished_at is not null").fetchone()
    except (EnvFileError, KeyError, psycopg.Error):
        return 0
    return int(row[0]) if row else 0


def kill(home: Home, victim: str) -> int:
    """Kill the first unit of that name without warning; give its pid."""
    state = read_state(home.state_file)
    assert state is not None
    name = next(name for name in sorted(state.units) if name == victim or name.startswith(f"{victim}-"))
    mark = state.units[name].mark
    assert mark is not None
    signal_marked(mark, signal.SIGKILL)
    return mark.pid


@pytest.mark.chaos
@pytest.mark.timeout(TIMEOUT_S + 30)
@pytest.mark.parametrize("victim", VICTIMS)
def test_verification_holds_when_a_process_is_killed(data: Path, tmp_path: Path, victim: str) -> None:
    home = Home(data.resolve())
    before = 0
    output = tmp_path / "demo.log"
    run = start_demo(data, output)
    try:
        wait_until(lambda: run.poll() is not None or ended_jobs(home) > 0, "the demo's database", 120)
        before = max(0, ended_jobs(home) - 1)
        wait_until(
            lambda: run.poll() is not None or ended_jobs(home) - before >= KILL_AFTER_ENDED,
            f"{KILL_AFTER_ENDED} ended jobs",
            180,
        )
        assert run.poll() is None, output.read_text()
        pid = kill(home, victim)
        stdout, _ = run.communicate(timeout=TIMEOUT_S)
    finally:
        run.kill()
        run.wait()
    said = json.loads(stdout)
    assert run.returncode == 0, (victim, pid, said, output.read_text()[-3000:])
    assert said["verified"]
    assert (said["duplicate_runs"], said["table_equals_log"]) == (0, True)
    assert said["succeeded"] + said["dead"] == said["submitted"] == JOBS
