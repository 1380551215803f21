import os
import signal
import sys
from pathlib import Path

import pytest

from tests.chaos.rig.limits import cpu_limit, memory_limit, oom_kills, throttled
from tests.chaos.rig.process import Process, wait_until
from tests.chaos.rig.tools import Tool, why_missing

pytestmark = pytest.mark.chaos

MB = 1 << 20
GREEDY = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print("up", flush=True)
signal.sigwait([signal.SIGUSR1])
kept = b"x" * (200 << 20)
print("has it")
"""
BUSY = "while True: pass"


@pytest.mark.skipif(why_missing(Tool.CGROUP_MEMORY) is not None, reason="cgroup v1 memory")
def test_a_program_that_takes_more_memory_than_allowed_is_killed(tmp_path: Path) -> None:
    process = Process((sys.executable, "-c", GREEDY), log=tmp_path / "log", env=dict(os.environ))
    process.start()
    try:
        wait_until(lambda: "up" in process.log.read_text(), "the signal to be blocked")
        with memory_limit(60 * MB, [process.pid]) as group:
            process.send(signal.SIGUSR1)
            assert process.wait() == -signal.SIGKILL
            assert oom_kills(group) == 1
        assert not group.path.exists()
    finally:
        process.kill_group()


@pytest.mark.skipif(why_missing(Tool.CGROUP_CPU) is not None, reason="cgroup v1 cpu")
def test_a_busy_program_waits_for_its_share_of_the_cpu(tmp_path: Path) -> None:
    process = Process((sys.executable, "-c", BUSY), log=tmp_path / "log", env=dict(os.environ))
    process.start()
    try:
        with cpu_limit(0.1, [process.pid]) as group:
            wait_until(lambda: throttled(group) > 2, "a wait")
        assert process.is_alive
        assert not group.path.exists()
    finally:
        process.kill_group()
