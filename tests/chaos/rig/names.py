"""Names of what outlives a process (namespaces, links, mounts, control groups), by run.

Each holds the pid of the run that made it, so that the next run can tell what a killed one left.
"""

import os
from itertools import count

PREFIX = "pch"
"""With the largest pid and a number still within the 15 characters of a network interface."""

_numbers = count(1)


def unique_name(kind: str) -> str:
    """Give a name nobody else uses: ``pch4711a1``; the kind is one letter."""
    return f"{PREFIX}{os.getpid()}{kind}{next(_numbers)}"


def owner_of(name: str) -> int | None:
    """Give the pid of the run that made a name; None for a name that is not ours."""
    rest = name.removeprefix(PREFIX)
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    return int(digits) if rest != name and digits else None


def is_left_over(name: str) -> bool:
    """Tell whether a name is of a run that no longer is; a reused pid counts as running."""
    owner = owner_of(name)
    return owner is not None and not os.path.exists(f"/proc/{owner}")  # noqa: PTH110 - not a path of ours
