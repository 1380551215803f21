"""Runs the pipeline that is measured: ``python -m benchmarks.up DIR``, with options.

A profiled service runs under cProfile and leaves its profile in the file when it stops.
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from adapters.embedded.__main__ import ready, report
from adapters.embedded.plan import Plan, module_command, service_command
from adapters.embedded.supervisor import supervise
from core.services import JOB_SERVICES


def plan_for(
    data: Path,
    environment: Mapping[str, str],
    profiled: tuple[str, str] | None,
    executors: int = 1,
    instances: int = 1,
) -> Plan:
    """Plan an ordinary pipeline, one service of which may be profiled."""
    replicas = dict.fromkeys(JOB_SERVICES, instances) | {"executor": executors}
    if profiled is None:
        return Plan(data, environment, replicas=replicas)
    return Plan(data, environment, replicas=replicas, command=_command_with(*profiled))


def _command_with(profiled: str, file: str) -> Callable[[str], tuple[str, ...]]:
    def command(service: str) -> tuple[str, ...]:
        if service != profiled:
            return service_command(service)
        return (*module_command("benchmarks.profiled"), service, file)

    return command


def main(arguments: list[str]) -> int:
    """Run until a signal; give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.up")
    parser.add_argument("data", type=Path)
    parser.add_argument("--executors", type=int, default=1)
    parser.add_argument("--instances", type=int, default=1, help="of every other service that jobs need")
    parser.add_argument("--profile", nargs=2, metavar=("SERVICE", "FILE"))
    given = parser.parse_args(arguments)
    profiled = (given.profile[0], given.profile[1]) if given.profile else None
    plan = plan_for(given.data, os.environ, profiled, given.executors, given.instances)
    return supervise(plan, report, ready)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
