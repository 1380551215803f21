"""The pipeline a demo runs on: ``penstock up`` as a child that is stopped with the demo."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from adapters.embedded import launch
from adapters.embedded.env_file import read_env
from adapters.embedded.home import Home
from adapters.embedded.logs import open_log, tail
from adapters.embedded.plan import DATABASE_KEY, KAFKA_KEY, MODEL_KEY, child_environment, module_command
from adapters.embedded.state import Phase, Step, SupervisorState, read_state
from adapters.embedded.supervisor import METRICS_KEY
from penstock.connection import DatabaseConnection, KafkaConnection, PipelineNames

UP_TIMEOUT_S = 600.0
"""A first start downloads the jars of Kafka, over a slow line too."""
DOWN_TIMEOUT_S = 90.0
"""Longer than the graces of services, Postgres and Kafka together (20 s each)."""
_LOOK_AGAIN_S = 0.1
TRAINER_FIRST_ENDS = "1000000"
"""The trainer leaves it to the comparison of orders to make a model."""
VECTORS_PER_S = "2000"
"""All that the demo's jobs are scored by is logged: the comparison of orders learns from it."""
DEMO_APP = "penstock.demo.tasks"
TRACE_APP = "penstock_demo_trace"
"""Module that is written for a trace: it declares the trace's own types."""


class StackError(Exception):
    """The pipeline could not be brought up; the message holds what went wrong."""


@dataclass(frozen=True)
class Endpoints:
    """How to reach the pipeline that runs."""

    kafka: KafkaConnection
    database: DatabaseConnection
    names: PipelineNames
    metrics_ports: Mapping[str, int]
    """Port on the loopback address by instance, such as ``executor-0``."""
    model_key: bytes | None = None
    """Signs models."""


class Stack:
    """One ``penstock up`` under this process.

    Parameters
    ----------
    outlives
        Leave the pipeline running at the end. Otherwise it also ends when this process is killed.
    """

    def __init__(self, home: Home, environment: Mapping[str, str], *, outlives: bool) -> None:
        self._home = home
        self._environment = environment
        self._outlives = outlives
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, show: Callable[[Step], None]) -> Endpoints:
        """Bring everything up, telling each step; give the addresses.

        Raises
        ------
        StackError
            It could not be brought up, or not in time.
        """
        self._home.create()
        self._process = await self._spawn()
        try:
            async with asyncio.timeout(UP_TIMEOUT_S):
                await self._until_running(self._process, show)
        except TimeoutError:
            raise StackError(
                f"the pipeline was not up within {UP_TIMEOUT_S:.0f} s; see {self._home.logs}"
            ) from None
        return endpoints(read_env(self._home.env_file))

    async def stop(self) -> None:
        """Stop what was started, unless it is to outlive the demo; the data stay."""
        process = self._process
        if process is None or self._outlives or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(DOWN_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            # A second signal makes the supervisor kill what has not stopped.
            process.send_signal(signal.SIGTERM)
            await process.wait()

    async def _spawn(self) -> asyncio.subprocess.Process:
        command = (*module_command("penstock"), "up", "--data", str(self._home.root))
        if not self._outlives:
            command = (*_tied_to_this_process(), *command)
        log = open_log(self._home.log("supervisor"))
        try:
            return await asyncio.create_subprocess_exec(
                *command,
                env=child_environment(self._environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                # Ctrl-C is for the demo, which then stops the pipeline in order.
                start_new_session=True,
            )
        finally:
            os.close(log)

    async def _until_running(self, process: asyncio.subprocess.Process, show: Callable[[Step], None]) -> None:
        shown = 0
        while True:
            ended = process.returncode is not None
            state = self._state_of(process.pid)
            if state is not None:
                for step in state.steps[shown:]:
                    show(step)
                shown = len(state.steps)
                if state.phase is Phase.RUNNING:
                    return
            if ended:
                end = tail(self._home.log("supervisor"))
                raise StackError(f"the pipeline did not start; the end of its log:\n{end}")
            await asyncio.sleep(_LOOK_AGAIN_S)

    def _state_of(self, pid: int) -> SupervisorState | None:
        """Give the state this very supervisor wrote, not what an earlier one left."""
        state = read_state(self._home.state_file)
        ours = state is not None and state.supervisor is not None and state.supervisor.pid == pid
        return state if ours else None


def _tied_to_this_process() -> tuple[str, ...]:
    """Give the launcher that lets the kernel stop the child when this process dies without doing so."""
    death_signal = str(int(signal.SIGTERM))
    return (sys.executable, "-I", "-S", str(launch.__file__), str(os.getpid()), death_signal, "-")


def endpoints(settings: Mapping[str, str]) -> Endpoints:
    """Read the addresses out of ``penstock.env``; security settings come from this process's environment."""
    pairs = (pair.rpartition(":") for pair in settings.get(METRICS_KEY, "").split(",") if pair)
    return Endpoints(
        kafka=KafkaConnection(bootstrap=settings[KAFKA_KEY]),
        database=DatabaseConnection(url=SecretStr(settings[DATABASE_KEY])),
        names=PipelineNames(),
        metrics_ports={name: int(port) for name, _, port in pairs},
        model_key=settings[MODEL_KEY].encode() if MODEL_KEY in settings else None,
    )


def write_trace_app(folder: Path, types: tuple[str, ...]) -> None:
    """Write the module that declares a trace's types as replays, so that each is scored as its own."""
    folder.mkdir(parents=True, exist_ok=True)
    content = f'''"""Written by `penstock demo`: the job types of the replayed trace."""

from penstock.builtin.replay import ReplayPayload, replay
from penstock.task import RetryRule, register_function

TYPES = {types!r}

for name in TYPES:
    register_function(name, replay, payload=ReplayPayload, retry=RetryRule(base="300ms", cap="2s"))
'''
    (folder / f"{TRACE_APP}.py").write_text(content, encoding="utf-8")


def app_environment(
    base: Mapping[str, str], app_folder: Path, types: tuple[str, ...], *, workers: int, slots: int
) -> dict[str, str]:
    """Give the environment for the pipeline: the demo's app, or the trace's when it has types of its own."""
    own = {
        "PENSTOCK_TRAINER_FIRST_ENDS": base.get("PENSTOCK_TRAINER_FIRST_ENDS", TRAINER_FIRST_ENDS),
        "PENSTOCK_VECTORS_PER_S": base.get("PENSTOCK_VECTORS_PER_S", VECTORS_PER_S),
        "PENSTOCK_APP": DEMO_APP,
        "PENSTOCK_WORKERS": str(workers),
        "PENSTOCK_SLOTS": str(slots),
    }
    if types:
        write_trace_app(app_folder, types)
        own |= {"PENSTOCK_APP": TRACE_APP, "PENSTOCK_APP_PATH": str(app_folder)}
    return dict(base) | own
