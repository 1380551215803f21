import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from adapters.embedded.loopback import HOST, PortBook
from tests.chaos.rig.proxy import Direction, Proxy, Toxiproxy
from tests.chaos.rig.tools import Tool, why_missing

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(why_missing(Tool.TOXIPROXY) is not None, reason="toxiproxy"),
]


@pytest.fixture
def echo() -> Iterator[str]:
    """The address of a server that sends back what it gets."""
    with socket.create_server((HOST, 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        yield f"{HOST}:{server.getsockname()[1]}"


def serve(server: socket.socket) -> None:
    with suppress(OSError):
        while True:
            connection, _ = server.accept()
            threading.Thread(target=send_back, args=(connection,), daemon=True).start()


def send_back(connection: socket.socket) -> None:
    with connection, suppress(OSError):
        while received := connection.recv(4096):
            connection.sendall(received)


@pytest.fixture
def proxy(echo: str, tmp_path: Path) -> Iterator[Proxy]:
    control = Toxiproxy(tmp_path / "log")
    try:
        control.start()
        yield control.proxy("echo", f"{HOST}:{PortBook(None).port('echo')}", echo)
    finally:
        control.close()


def connect(proxy: Proxy) -> socket.socket:
    host, _, port = proxy.listen.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=2.0)


def round_trip_s(connection: socket.socket) -> float:
    began_s = time.monotonic()
    connection.sendall(b"x")
    assert connection.recv(1) == b"x"
    return time.monotonic() - began_s


def test_delay_acts_on_open_connections_and_ends(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        assert round_trip_s(connection) < 0.25
        with proxy.toxic("latency", Direction.TO_CLIENT, latency=300, jitter=0):
            assert round_trip_s(connection) >= 0.3
        assert proxy.toxics() == []
        round_trip_s(connection)
        assert round_trip_s(connection) < 0.25


def test_silence_lets_nothing_through_in_its_direction(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        connection.settimeout(0.3)
        round_trip_s(connection)
        with proxy.toxic("timeout", Direction.TO_CLIENT, timeout=0), pytest.raises(TimeoutError):
            round_trip_s(connection)


def test_a_reset_breaks_connections_and_new_ones_work_after_it(proxy: Proxy) -> None:
    with (
        proxy.toxic("reset_peer", Direction.TO_CLIENT, timeout=0),
        connect(proxy) as connection,
        pytest.raises(ConnectionResetError),
    ):
        round_trip_s(connection)
    with connect(proxy) as connection:
        round_trip_s(connection)


def test_a_cut_proxy_refuses_until_it_is_restored(proxy: Proxy) -> None:
    proxy.cut()
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.restore()
    with connect(proxy) as connection:
        round_trip_s(connection)
