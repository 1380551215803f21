"""Runs the pipeline that is measured: ``python -m benchmarks.up DIR [SERVICE FILE]``.

With a service, that one runs under cProfile and leaves its profile in the file when it stops.
"""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from adapters.embedded.__main__ import ready, report
from adapters.embedded.plan import Plan, module_command, service_command
from adapters.embedded.supervisor import supervise


def plan_for(data: Path, environment: Mapping[str, str], profiled: tuple[str, str] | None) -> Plan:
    """Plan an ordinary pipeline, one service of which may be profiled."""
    if profiled is None:
        return Plan(data, environment)
    return Plan(data, environment, command=_command_with(*profiled))


def _command_with(profiled: str, file: str) -> Callable[[str], tuple[str, ...]]:
    def command(service: str) -> tuple[str, ...]:
        if service != profiled:
            return service_command(service)
        return (*module_command("benchmarks.profiled"), service, file)

    return command


def main(arguments: list[str]) -> int:
    """Run until a signal; give the exit code."""
    data, *rest = arguments
    profiled = (rest[0], rest[1]) if rest else None
    return supervise(plan_for(Path(data), os.environ, profiled), report, ready)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
