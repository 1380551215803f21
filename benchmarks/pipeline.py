"""The pipeline under measurement: embedded servers and all services, in a data directory of its own."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from adapters.embedded import launch
from adapters.embedded.env_file import read_env
from adapters.embedded.home import Home
from adapters.embedded.logs import open_log, tail
from adapters.embedded.plan import DATABASE_KEY, KAFKA_KEY, child_environment, module_command
from adapters.embedded.state import Phase, SupervisorState, read_state
from adapters.embedded.supervisor import METRICS_KEY
from benchmarks import cpu
from penstock.connection import DatabaseConnection, KafkaConnection, PipelineNames

APP = "benchmarks.tasks"
KEPT = frozenset({"PENSTOCK_WORKERS", "PENSTOCK_SLOTS"})
"""Settings of the caller that the measured pipeline takes over; all others are the defaults."""
CLIENT = "client"
"""The process that submits, watches and measures, beside the pipeline's own."""
UP_TIMEOUT_S = 600.0
"""A first start downloads the jars of Kafka."""
DOWN_TIMEOUT_S = 90.0
_LOOK_AGAIN_S = 0.1


class BenchmarkError(Exception):
    """There is nothing to measure; the message says why."""


@dataclass(frozen=True)
class Pipeline:
    """A pipeline that runs.

    Attributes
    ----------
    units
        Its processes by pid.
    metrics
        Port of /metrics by instance.
    """

    kafka: KafkaConnection
    database: DatabaseConnection
    names: PipelineNames
    units: Mapping[int, str]
    metrics: Mapping[str, int]

    def cpu_s(self) -> dict[str, float]:
        """Give the CPU seconds of every process so far."""
        return cpu.used_s(self.units)


@asynccontextmanager
async def running(
    data: Path,
    profiled: tuple[str, Path] | None = None,
    *,
    settings: Mapping[str, str] | None = None,
    executors: int = 1,
    instances: int = 1,
) -> AsyncIterator[Pipeline]:
    """Run a pipeline for the length of the block; its data stay.

    Parameters
    ----------
    data
        A new directory, absolute.
    profiled
        A service and the file that takes its profile, absolute.
    settings
        ``PENSTOCK_*`` settings that are not the default.
    executors, instances
        Processes of the executor, and of every other service that jobs need.

    Raises
    ------
    BenchmarkError
        It could not be brought up.
    """
    home = Home(data)
    home.create()
    extra = () if profiled is None else ("--profile", profiled[0], str(profiled[1]))
    numbers = ("--executors", str(executors), "--instances", str(instances))
    process = await _start(home, (*numbers, *extra), settings or {})
    try:
        yield _described(home, await _until_running(home, process))
    finally:
        await _stop(process)


def environment_of(caller: Mapping[str, str]) -> dict[str, str]:
    """Give the environment of the pipeline: no setting of another one gets in."""
    own = {key: value for key, value in caller.items() if not key.startswith("PENSTOCK_") or key in KEPT}
    return own | {"PENSTOCK_APP": APP}


def tied(command: Sequence[str], death_signal: signal.Signals = signal.SIGTERM) -> tuple[str, ...]:
    """Give the command whose program the kernel signals when this process dies without ending it."""
    launcher = (sys.executable, "-I", "-S", str(launch.__file__))
    return (*launcher, str(os.getpid()), str(int(death_signal)), "-", *command)


async def _start(
    home: Home, extra: tuple[str, ...], settings: Mapping[str, str]
) -> asyncio.subprocess.Process:
    log = open_log(home.log("supervisor"))
    try:
        return await asyncio.create_subprocess_exec(
            *tied((*module_command("benchmarks.up"), str(home.root), *extra)),
            env=child_environment(environment_of(os.environ) | dict(settings)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    finally:
        os.close(log)


async def _until_running(home: Home, process: asyncio.subprocess.Process) -> SupervisorState:
    try:
        async with asyncio.timeout(UP_TIMEOUT_S):
            while True:
                ended = process.returncode is not None
                state = read_state(home.state_file)
                if state is not None and state.phase is Phase.RUNNING:
                    return state
                if ended:
                    end = tail(home.log("supervisor"))
                    raise BenchmarkError(f"the pipeline did not start; the end of its log:\n{end}")
                await asyncio.sleep(_LOOK_AGAIN_S)
    except TimeoutError:
        raise BenchmarkError(f"the pipeline was not up in time; see {home.logs}") from None


def _described(home: Home, state: SupervisorState) -> Pipeline:
    settings = read_env(home.env_file)
    return Pipeline(
        kafka=KafkaConnection(bootstrap=settings[KAFKA_KEY], security_protocol="PLAINTEXT"),
        database=DatabaseConnection(url=SecretStr(settings[DATABASE_KEY])),
        names=PipelineNames(
            topic_prefix="",
            partitions=int(settings.get("PENSTOCK_PARTITIONS", "4")),
            replication=1,
            pools="default",
        ),
        units=cpu.units_of(state),
        metrics=_ports(settings[METRICS_KEY]),
    )


def _ports(text: str) -> dict[str, int]:
    pairs = (entry.rpartition(":") for entry in text.split(","))
    return {instance: int(port) for instance, _, port in pairs}


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(DOWN_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        # A second signal makes the supervisor kill what has not stopped.
        process.send_signal(signal.SIGTERM)
        await process.wait()
