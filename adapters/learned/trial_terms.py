"""What a trial of a model may take, and what it answers."""

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """What a trial may take."""

    memory_mib: int = 2048
    """Address space, of which the libraries alone take 310 MiB."""
    cpu_s: int = 30
    """A trial takes two seconds of CPU, of which one is for importing the libraries."""
    wall_s: float = 60.0
    """Longer than ``cpu_s``, because the machine may have other things to do."""


class Tried(msgspec.Struct, frozen=True):
    """What a model did."""

    problem: str = ""
    """Why it must not be used; empty: it predicts as follows."""
    log_run: tuple[float, ...] = ()
    failed: tuple[float, ...] = ()
