"""Ports that are remembered."""

import socket
from pathlib import Path

from adapters.embedded.loopback import HOST, PORT_FIRST, PORT_LAST, PortBook, can_bind


def test_a_port_is_the_same_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    port = PortBook(path).port("kafka")
    assert PORT_FIRST <= port < PORT_LAST
    assert PortBook(path).port("kafka") == port


def test_a_port_that_another_program_took_is_replaced_and_the_new_one_remembered(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    port = PortBook(path).port("kafka")
    with socket.create_server((HOST, port)):
        assert not can_bind(port)
        replaced = PortBook(path).port("kafka")
        assert replaced != port
    assert PortBook(path).port("kafka") == replaced


def test_purposes_never_share_a_port(tmp_path: Path) -> None:
    book = PortBook(tmp_path / "ports.json")
    ports = [book.port(f"metrics/{number}") for number in range(50)]
    assert len(set(ports)) == len(ports)


def test_connections_that_are_winding_down_do_not_take_a_port(tmp_path: Path) -> None:
    port = PortBook(tmp_path / "ports.json").port("kafka")
    with socket.create_server((HOST, port)) as server, socket.create_connection((HOST, port)) as client:
        accepted, _ = server.accept()
        accepted.close()  # the server side closes first, so its end lingers
        assert client.recv(1) == b""
    assert can_bind(port)
