"""Executor processes beside the pipeline's own."""

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from adapters.embedded.plan import DATABASE_KEY, KAFKA_KEY, child_environment, service_command
from benchmarks.pipeline import Pipeline, environment_of, tied

STOP_TIMEOUT_S = 60.0


class Executors:
    """Starts executors of a pipeline, and stops those that run.

    Parameters
    ----------
    directory
        Takes their logs.
    settings
        ``PENSTOCK_*`` settings of all of them that are not the default.
    """

    def __init__(self, pipeline: Pipeline, directory: Path, settings: Mapping[str, str]) -> None:
        self._environment = child_environment(environment_of(os.environ) | dict(settings)) | {
            KAFKA_KEY: pipeline.kafka.bootstrap,
            DATABASE_KEY: pipeline.database.conninfo,
            "PENSTOCK_PARTITIONS": str(pipeline.names.partitions),
        }
        self._directory = directory
        self._all: list[asyncio.subprocess.Process] = []

    async def start(self, **settings: str) -> asyncio.subprocess.Process:
        """Start one more, under a name of its own; ``settings`` are its alone."""
        name = f"executor-beside-{len(self._all)}"
        with (self._directory / f"{name}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *tied(service_command("executor")),
                env=self._environment | {"PENSTOCK_INSTANCE": name} | settings,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
            )
        self._all.append(process)
        return process

    async def stop_all(self) -> None:
        """Stop those that run."""
        for process in self._all:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
        for process in self._all:
            try:
                await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
            except TimeoutError:
                process.kill()
