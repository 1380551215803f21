"""Less memory or less CPU for some processes (control groups, version 1; root)."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path

from tests.chaos.rig.names import unique_name
from tests.chaos.rig.process import wait_until

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000
REMOVE_TIMEOUT_S = 10.0


class Controller(StrEnum):
    """What is limited."""

    MEMORY = "memory"
    CPU = "cpu"


class Group:
    """A control group of its own, below the one this process is in."""

    def __init__(self, controller: Controller) -> None:
        self._parent = _own_group(controller)
        self.path = self._parent / unique_name("c")

    def make(self) -> None:
        """Make it, without limits.

        Raises
        ------
        OSError
            The machine has no such controller, or not for this user.
        """
        self.path.mkdir()

    def set(self, name: str, value: int) -> None:
        """Set one value of the controller."""
        (self.path / name).write_text(str(value))

    def value(self, name: str) -> dict[str, int]:
        """Read a file of ``KEY NUMBER`` lines."""
        lines = (self.path / name).read_text().splitlines()
        return {key: int(number) for key, number in (line.split() for line in lines)}

    def take(self, pids: Iterable[int]) -> None:
        """Move processes in; what they start from now on is in it too. Those that are gone are skipped."""
        for pid in pids:
            with suppress(ProcessLookupError):
                (self.path / "cgroup.procs").write_text(str(pid))

    def remove(self) -> None:
        """Move what is in it to where it came from, and remove it."""
        if self.path.exists():
            wait_until(self._removed, f"the end of {self.path}", REMOVE_TIMEOUT_S)

    def _removed(self) -> bool:
        for pid in (self.path / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):
                (self._parent / "cgroup.procs").write_text(pid)
        try:
            self.path.rmdir()
        except OSError:
            return False
        return True


@contextmanager
def memory_limit(limit_bytes: int, pids: Iterable[int]) -> Iterator[Group]:
    """Give processes no more memory than this together; beyond it the kernel kills one of them.

    What they use already counts only as it grows: version 1 leaves the old pages with the old group.
    """
    group = Group(Controller.MEMORY)
    group.make()
    try:
        group.set("memory.limit_in_bytes", limit_bytes)
        group.take(pids)
        yield group
    finally:
        group.remove()


def oom_kills(group: Group) -> int:
    """Count the processes killed for want of memory."""
    return group.value("memory.oom_control").get("oom_kill", 0)


@contextmanager
def cpu_limit(share: float, pids: Iterable[int]) -> Iterator[Group]:
    """Give processes no more than this share of one CPU together (0.2 is a fifth)."""
    group = Group(Controller.CPU)
    group.make()
    try:
        group.set("cpu.cfs_period_us", PERIOD_US)
        group.set("cpu.cfs_quota_us", int(PERIOD_US * share))
        group.take(pids)
        yield group
    finally:
        group.remove()


def throttled(group: Group) -> int:
    """Count the periods in which processes had to wait for CPU."""
    return group.value("cpu.stat")["nr_throttled"]


def _own_group(controller: Controller) -> Path:
    """Find the group this process is in; the root where that is not visible."""
    mount = ROOT / controller
    for line in Path(f"/proc/{os.getpid()}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        inside = mount / path.lstrip("/")
        if controller in controllers.split(",") and inside.is_dir():
            return inside
    return mount
