"""Marks of processes."""

import os
import signal
import subprocess
import sys

from adapters.embedded.leftovers import end_leftovers
from adapters.embedded.process_mark import ProcessMark, children_of, is_running, mark_of, signal_marked
from adapters.embedded.state import Phase, SupervisorState, UnitState

PAUSE = (sys.executable, "-I", "-S", "-c", "import signal; signal.pause()")


def state_of(mark: ProcessMark) -> SupervisorState:
    return SupervisorState(None, Phase.RUNNING, 0, units={"unit": UnitState(mark, 0, "", 0)})


def test_a_mark_holds_until_the_process_ends() -> None:
    with subprocess.Popen(PAUSE) as process:
        mark = mark_of(process.pid)
        assert mark is not None
        assert is_running(mark)
        assert process.pid in children_of(os.getpid())
        assert signal_marked(mark, signal.SIGKILL)
        process.wait()
        assert not is_running(mark)
        assert not signal_marked(mark, signal.SIGKILL)


def test_another_process_under_a_reused_pid_is_never_touched() -> None:
    with subprocess.Popen(PAUSE, start_new_session=True) as process:
        mark = mark_of(process.pid)
        assert mark is not None
        earlier = ProcessMark(mark.pid, mark.start_ticks - 1, mark.boot_id)
        other_boot = ProcessMark(mark.pid, mark.start_ticks, "another boot")
        for wrong in (earlier, other_boot):
            assert not signal_marked(wrong, signal.SIGKILL)
            assert end_leftovers(state_of(wrong)) == []
        assert process.poll() is None
        process.kill()


def test_a_recorded_process_that_still_runs_is_ended() -> None:
    with subprocess.Popen(PAUSE, start_new_session=True) as process:
        mark = mark_of(process.pid)
        assert mark is not None
        assert end_leftovers(state_of(mark)) == ["unit"]
        assert process.wait(10) == -signal.SIGKILL


def test_an_unreaped_process_has_no_mark() -> None:
    with subprocess.Popen((sys.executable, "-I", "-S", "-c", "")) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert mark_of(process.pid) is None
