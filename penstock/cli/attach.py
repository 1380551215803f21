"""Watching and stopping a supervisor that runs elsewhere, through the state it writes."""

import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from enum import Enum

from adapters.embedded.env_file import read_env
from adapters.embedded.home import Home, HomeInUseError, exclusive
from adapters.embedded.leftovers import end_leftovers
from adapters.embedded.logs import tail
from adapters.embedded.process_mark import is_running, signal_marked
from adapters.embedded.state import Phase, Step, SupervisorState, read_state

LOOK_AGAIN_S = 0.1

STOP_TIMEOUT_S = 90.0
"""Longer than the graces of services, Postgres and Kafka together (20 s each)."""


class StopOutcome(Enum):
    """How a stop ended, in words for a person."""

    STOPPED = "stopped"
    NOT_RUNNING = "nothing was running"
    LEFTOVERS_ENDED = "ended what a killed run had left"
    STILL_RUNNING = "still stopping; run `penstock down` again, or look into logs/supervisor.log"

    @property
    def is_good(self) -> bool:
        """Whether nothing runs any more."""
        return self is not StopOutcome.STILL_RUNNING


def follow_start(
    home: Home,
    process: subprocess.Popen[bytes],
    show: Callable[[Step], None],
    ready: Callable[[Mapping[str, str]], None],
) -> int:
    """Show the steps of a starting supervisor; give 0 when all is well, 1 when something is not."""
    shown = 0
    while True:
        ended = process.poll() is not None
        state = read_state(home.state_file)
        if state is not None and state.supervisor is not None and state.supervisor.pid == process.pid:
            for step in state.steps[shown:]:
                show(step)
            shown = len(state.steps)
            if state.phase is Phase.RUNNING:
                ready(read_env(home.env_file))
                return 1 if any(step.problem for step in state.steps) else 0
        if ended:
            if not shown:
                show(Step("start", 0.0, problem=tail(home.log("supervisor"))))
            return 1
        time.sleep(LOOK_AGAIN_S)


def stop_pipeline(home: Home) -> StopOutcome:
    """Stop the supervisor of this directory, or what a killed one left; returns when it is gone."""
    state = read_state(home.state_file)
    if state is None:
        return StopOutcome.NOT_RUNNING
    if state.supervisor is None or not signal_marked(state.supervisor, signal.SIGTERM):
        return _end_leftovers(home, state)
    deadline_s = time.monotonic() + STOP_TIMEOUT_S
    while is_running(state.supervisor):
        if time.monotonic() > deadline_s:
            return StopOutcome.STILL_RUNNING
        time.sleep(LOOK_AGAIN_S)
    return StopOutcome.STOPPED


def _end_leftovers(home: Home, state: SupervisorState) -> StopOutcome:
    try:
        with exclusive(home):
            return StopOutcome.LEFTOVERS_ENDED if end_leftovers(state) else StopOutcome.NOT_RUNNING
    except HomeInUseError:  # a new supervisor has just begun and has not written its state yet
        return StopOutcome.STILL_RUNNING
