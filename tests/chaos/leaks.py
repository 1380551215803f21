"""Planted secrets in the logs and metrics of the services."""

from collections.abc import Iterator

from tests.chaos.orders import SECRET_MARK
from tests.chaos.stack import Stack

_MARK = SECRET_MARK.encode()


def leaks_of_services(stack: Stack) -> Iterator[str]:
    """Name the logs, with their lines, and the metrics that show a planted secret."""
    for file in sorted(stack.logs.glob("*.log*")):
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if _MARK in line:
                    yield f"{file.name}, line {number}"
                    break
    for instance in stack.services.instances:
        if SECRET_MARK in (instance.get("/metrics") or ""):
            yield f"metrics of {instance.name}"
