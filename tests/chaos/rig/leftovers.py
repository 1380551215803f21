"""What a killed run left in the kernel: namespaces, links, mounts and control groups."""

import json
from contextlib import suppress
from pathlib import Path

from tests.chaos.rig.command import CommandFailedError, run
from tests.chaos.rig.limits import ROOT, Controller
from tests.chaos.rig.names import PREFIX, is_left_over
from tests.chaos.rig.network import remove_left_over


def remove_leftovers() -> list[str]:
    """Remove what runs that no longer are have left, and name it; what cannot be removed stays."""
    networks = [name for name in _networks() if is_left_over(name)]
    remove_left_over(networks)
    mounts = {source: path for source, path in _mounts() if is_left_over(source)}
    for place in mounts.values():
        with suppress(CommandFailedError):
            run("umount", "--lazy", place)
    groups = [path for path in _groups() if is_left_over(path.name)]
    for path in groups:
        with suppress(OSError):
            path.rmdir()
    return [*networks, *mounts, *(path.name for path in groups)]


def _networks() -> list[str]:
    try:
        spaces = json.loads(run("ip", "-j", "netns") or "[]")
        links = json.loads(run("ip", "-j", "link") or "[]")
    except CommandFailedError:
        return []
    return [one["name"] for one in spaces] + [one["ifname"] for one in links]


def _mounts() -> list[tuple[str, str]]:
    lines = Path("/proc/mounts").read_text().splitlines()
    return [(source, path) for source, path, *_ in (line.split() for line in lines)]


def _groups() -> list[Path]:
    return [path for one in Controller for path in (ROOT / one).rglob(f"{PREFIX}*") if path.is_dir()]
