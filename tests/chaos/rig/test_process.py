import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from tests.chaos.rig.process import NotInTimeError, Process, descendants, wait_until

TICKING = "import sys,time\nwhile True:\n print('tick', flush=True)\n time.sleep(0.02)"
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(60)
"""
PARENT = "import subprocess,sys\nsubprocess.run((sys.executable,'-c','import time; time.sleep(60)'))"


def python(program: str, log: Path) -> Process:
    return Process((sys.executable, "-u", "-c", program), log=log, env=dict(os.environ))


def size(path: Path) -> int:
    return path.stat().st_size


def test_a_killed_program_is_gone_and_may_be_started_again(tmp_path: Path) -> None:
    process = python(TICKING, tmp_path / "log")
    process.start()
    first = process.pid
    process.kill()
    assert (process.is_alive, process.exit_code) == (False, -signal.SIGKILL)
    process.start()
    assert process.is_alive
    assert process.pid != first
    process.kill_group()


def test_a_paused_program_does_nothing_until_it_is_resumed(tmp_path: Path) -> None:
    process = python(TICKING, tmp_path / "log")
    process.start()
    wait_until(lambda: size(process.log) > 0, "a tick")
    process.pause()
    wait_until(lambda: Path(f"/proc/{process.pid}/stat").read_text().split()[2] == "T", "the stop")
    before = size(process.log)
    with pytest.raises(NotInTimeError):
        wait_until(lambda: size(process.log) > before, "no tick", 0.2)
    assert process.is_alive
    process.resume()
    wait_until(lambda: size(process.log) > before, "a tick")
    process.kill_group()


def test_a_program_that_ignores_the_request_to_stop_is_killed_after_its_grace(tmp_path: Path) -> None:
    process = python(STUBBORN, tmp_path / "log")
    process.start()
    wait_until(lambda: size(process.log) > 0, "the handler")
    assert process.terminate(grace_s=0.2) == -signal.SIGKILL


def test_a_paused_program_can_be_asked_to_stop(tmp_path: Path) -> None:
    process = python(TICKING, tmp_path / "log")
    process.start()
    process.pause()
    assert process.terminate(grace_s=5.0) == -signal.SIGTERM


def test_ending_the_group_ends_what_the_program_started(tmp_path: Path) -> None:
    process = python(PARENT, tmp_path / "log")
    process.start()
    wait_until(lambda: descendants(process.pid), "a child")
    (child,) = descendants(process.pid)
    process.kill_group()
    wait_until(lambda: not Path(f"/proc/{child}").exists(), "the end of the child")


def test_a_program_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    process = python(TICKING, tmp_path / "log")
    starter = threading.Thread(target=process.start)
    starter.start()
    starter.join()
    wait_until(lambda: size(process.log) > 0, "a tick")
    before = size(process.log)
    wait_until(lambda: size(process.log) > before + 30, "more ticks")
    process.kill_group()


def test_a_program_dies_with_the_process_that_drives_it(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom tests.chaos.rig.process import Process\n"
        "one = Process(('sleep', '60'), log=Path(sys.argv[1]))\none.start()\nprint(one.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    argv = (sys.executable, "-c", program, str(tmp_path / "inner"))
    driver = Process(argv, log=tmp_path / "log", env=dict(os.environ) | {"PYTHONPATH": str(Path.cwd())})
    driver.start()
    driver.wait()
    inner = int((tmp_path / "log").read_text())
    wait_until(lambda: not Path(f"/proc/{inner}").exists(), "the end of the driven program")
