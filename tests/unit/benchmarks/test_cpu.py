"""CPU seconds are counted for the right process, children and ended children included."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.embedded.process_mark import ProcessMark
from adapters.embedded.state import Phase, SupervisorState, UnitState
from benchmarks import cpu
from benchmarks.memory import proportional_mb, resident_mb

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Proc:
    """A made-up ``/proc``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "self").mkdir()
        (folder / "meminfo").write_text("MemTotal: 1 kB\n")

    def add(self, pid: int, parent: int, *ticks: int, command: bytes = b"python\0") -> None:
        """``ticks``: user, system, and the same of children that ended."""
        place = self.folder / str(pid)
        place.mkdir(exist_ok=True)
        zeros = "0 " * 9
        times = " ".join(map(str, ticks))
        (place / "stat").write_text(f"{pid} (a (strange) name) S {parent} {zeros}{times} 0 0\n")
        (place / "cmdline").write_bytes(command)


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


UNITS = {10: "supervisor", 20: "postgres", 30: "executor-0"}


def test_user_and_system_time_of_a_process_and_its_ended_children_add_up(proc: Proc) -> None:
    proc.add(20, 10, 1, 2, 30, 40)
    assert cpu.used_s(UNITS, proc.folder)["postgres"] == pytest.approx(73 * TICK_S)


def test_a_descendant_counts_for_the_nearest_unit_above_it(proc: Proc) -> None:
    proc.add(10, 1, 100, 0, 0, 0)
    proc.add(20, 10, 5, 0, 0, 0)
    proc.add(21, 20, 7, 0, 0, 0)
    proc.add(22, 21, 11, 0, 0, 0)
    found = cpu.used_s(UNITS, proc.folder)
    assert found["postgres"] == pytest.approx(23 * TICK_S)
    assert found["supervisor"] == pytest.approx(100 * TICK_S)


def test_worker_processes_are_shown_apart_from_their_executor(proc: Proc) -> None:
    proc.add(30, 10, 5, 0, 0, 0)
    for pid in (31, 32):
        proc.add(pid, 30, 3, 0, 0, 0, command=b"python\0-P\0-m\0penstock.worker\0{}\0")
    found = cpu.used_s(UNITS, proc.folder)
    assert found["executor-0"] == pytest.approx(5 * TICK_S)
    assert found["workers"] == pytest.approx(6 * TICK_S)


def test_processes_of_others_are_not_counted(proc: Proc) -> None:
    proc.add(1, 0, 50, 0, 0, 0)
    proc.add(99, 1, 50, 0, 0, 0)
    assert cpu.used_s(UNITS, proc.folder) == {"supervisor": 0.0, "postgres": 0.0, "executor-0": 0.0}


def test_what_was_used_in_between_is_never_negative() -> None:
    assert cpu.difference({"kafka": 2.0, "workers": 5.0}, {"kafka": 3.5, "workers": 1.0, "new": 1.0}) == {
        "kafka": 1.5,
        "workers": 0.0,
        "new": 1.0,
    }


def test_units_are_named_after_the_supervisor_and_what_it_runs() -> None:
    def mark(pid: int) -> ProcessMark:
        return ProcessMark(pid, 0, "boot")

    units = {"kafka": UnitState(mark(2), 0, "", 0), "ingest-0": UnitState(None, 0, "", 0)}
    state = SupervisorState(mark(1), Phase.RUNNING, 0, units=units)
    assert cpu.units_of(state) == {1: "supervisor", 2: "kafka"}


def test_the_real_proc_shows_what_a_child_used() -> None:
    # The child says when it has burnt its time, and lives until it is told to end.
    burn = "import time\nwhile time.process_time() < 0.1: pass\nprint('burnt', flush=True); input()"
    command = (sys.executable, "-c", burn)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        found = cpu.used_s({child.pid: "child"})
        child.stdin.write(b"\n")
    assert found["child"] >= 0.1 - 2 * TICK_S


def test_memory_of_a_unit_is_its_own_or_with_its_descendants(proc: Proc) -> None:
    for pid, parent, pss_kb in ((20, 10, 2048), (21, 20, 1024), (30, 10, 4096)):
        proc.add(pid, parent, 0, 0, 0, 0)
        (proc.folder / str(pid) / "status").write_text("Name:\tx\nVmRSS:\t  3072 kB\n")
        (proc.folder / str(pid) / "smaps_rollup").write_text(f"Rss: 9999 kB\nPss: {pss_kb} kB\n")
    units = {20: "postgres", 30: "executor-0"}
    assert resident_mb(units, proc.folder) == {"executor-0": 3.0, "postgres": 3.0}
    assert proportional_mb(units, proc.folder) == {"executor-0": 4.0, "postgres": 3.0}


def test_a_process_that_ends_while_it_is_looked_at_has_no_memory(proc: Proc) -> None:
    proc.add(20, 10, 0, 0, 0, 0)
    assert resident_mb({20: "postgres"}, proc.folder) == {"postgres": 0.0}
    assert proportional_mb({20: "postgres"}, proc.folder) == {"postgres": 0.0}
