import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.rig.command import run
from tests.chaos.rig.leftovers import remove_leftovers
from tests.chaos.rig.names import PREFIX
from tests.chaos.rig.network import Namespace, Network
from tests.chaos.rig.process import Process, wait_until
from tests.chaos.rig.tools import Tool, why_missing

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(why_missing(Tool.IPTABLES) is not None, reason="iptables in a namespace"),
]

PORT = 7000
TRY = "import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=0.4).close()"
SERVE = (
    "import socket\n"
    "with socket.create_server(('', {port}), backlog=64) as server:\n"
    "  while True: server.accept()[0].close()"
)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """Two namespaces with a server in each."""
    servers = []
    with Network(2) as network:
        try:
            for one in network.namespaces:
                argv = (*one.prefix, sys.executable, "-c", SERVE.format(port=PORT))
                servers.append(Process(argv, log=tmp_path / one.name))
                servers[-1].start()
            wait_until(lambda: all(reaches((), one) for one in network.namespaces), "both servers")
            yield network
        finally:
            for server in servers:
                server.kill_group()


def reaches(prefix: tuple[str, ...], target: Namespace) -> bool:
    argv = (*prefix, sys.executable, "-S", "-c", TRY, target.address, str(PORT))
    return subprocess.run(argv, check=False, capture_output=True).returncode == 0


def test_a_pulled_cable_cuts_a_server_off_until_it_is_back(network: Network) -> None:
    first, second = network.namespaces
    with first.cut_off():
        assert not reaches((), first)
        assert not reaches(second.prefix, first)
        assert reaches((), second)
    wait_until(lambda: reaches((), first), "the first server again")


def test_a_deaf_server_hears_all_but_those_it_is_deaf_to(network: Network) -> None:
    first, second = network.namespaces
    with first.deaf_to(second.address):
        assert not reaches(second.prefix, first)
        assert reaches((), first)
        assert first.dropped() > 0
    assert reaches(second.prefix, first)


def test_a_lossy_link_drops_some_packets(network: Network) -> None:
    first, _ = network.namespaces
    with first.losing(0.5):
        for _ in range(6):
            reaches((), first)
        dropped = first.dropped()
    assert dropped > 0
    assert reaches((), first)


def test_a_slow_link_is_set_and_taken_away(network: Network) -> None:
    first, _ = network.namespaces
    with first.limited("1mbit"):
        assert "tbf" in run("tc", "qdisc", "show", "dev", first.link)
    assert "tbf" not in run("tc", "qdisc", "show", "dev", first.link)


def test_nothing_is_left_when_a_network_is_closed() -> None:
    with Network(1) as network:
        (one,) = network.namespaces
        names = (one.name, one.link)
    present = [space["name"] for space in json.loads(run("ip", "-j", "netns") or "[]")]
    present += [link["ifname"] for link in json.loads(run("ip", "-j", "link"))]
    assert not set(names) & set(present)


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from tests.chaos.rig.network import Network\nfrom tests.chaos.rig.disk import Tmpfs\n"
        "Network(1).open()\nTmpfs(Path(sys.argv[1]), 1).mount()\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.Popen((sys.executable, "-c", program, str(tmp_path / "disk")))
    killed.wait()
    own = f"{PREFIX}{killed.pid}"
    assert own in run("ip", "netns")
    removed = remove_leftovers()
    assert {name.removeprefix(own)[0] for name in removed if name.startswith(own)} >= {"n", "b", "t"}
    assert own not in run("ip", "netns") + run("ip", "link") + Path("/proc/mounts").read_text()
