import os
import subprocess
import sys

from tests.chaos.rig.names import PREFIX, is_left_over, owner_of, unique_name

LARGEST_PID = 4_194_304
INTERFACE_NAME_MAX = 15


def test_names_of_a_run_are_different_and_name_it() -> None:
    assert unique_name("n") != unique_name("n")
    assert owner_of(unique_name("n")) == os.getpid()


def test_a_name_with_the_largest_pid_fits_an_interface() -> None:
    assert len(f"{PREFIX}{LARGEST_PID}n999") <= INTERFACE_NAME_MAX


def test_only_names_of_runs_that_ended_are_left_over() -> None:
    gone = int(subprocess.check_output((sys.executable, "-c", "import os; print(os.getpid())")))
    assert is_left_over(f"{PREFIX}{gone}n1")
    assert not is_left_over(unique_name("n"))
    assert not is_left_over("eth0")
    assert not is_left_over(f"{PREFIX}n1")
