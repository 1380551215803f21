"""Ending what a supervisor that was killed has left running."""

import signal
import time

from adapters.embedded.process_mark import ProcessMark, is_running, kill_group, signal_marked
from adapters.embedded.state import SupervisorState

DEATH_S = 5.0
_ASK_AGAIN_S = 0.05


def end_leftovers(state: SupervisorState | None) -> list[str]:
    """Kill the recorded processes that still run; give their names.

    Only a process that is provably the recorded one (pid, start time and boot agree) is touched.
    Called while holding the data directory, so no living supervisor has use for them.
    """
    if state is None:
        return []
    left = {name: unit.mark for name, unit in state.units.items() if unit.mark and is_running(unit.mark)}
    for mark in left.values():
        kill_group(mark.pid)
        signal_marked(mark, signal.SIGKILL)
    _wait_gone(list(left.values()))
    return sorted(left)


def _wait_gone(marks: list[ProcessMark]) -> None:
    deadline_s = time.monotonic() + DEATH_S
    while any(map(is_running, marks)) and time.monotonic() < deadline_s:
        time.sleep(_ASK_AGAIN_S)
