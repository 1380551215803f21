"""Servers on a network of their own, where links fail and packets are lost (root, Linux)."""

import ipaddress
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Self

from tests.chaos.rig.command import CommandFailedError, run
from tests.chaos.rig.names import unique_name

SUBNETS = ipaddress.IPv4Network("10.213.0.0/16")


@dataclass(frozen=True)
class Namespace:
    """One network namespace with one interface on the bridge.

    Parameters
    ----------
    address
        Of its interface.
    link
        The end of its cable on the bridge's side; down means the cable is pulled.
    """

    name: str
    address: str
    link: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """The command that runs another one inside."""
        return ("ip", "netns", "exec", self.name)

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        """Pull the cable for the length of the block: nobody reaches it, it reaches nobody."""
        run("ip", "link", "set", self.link, "down")
        try:
            yield
        finally:
            run("ip", "link", "set", self.link, "up")

    @contextmanager
    def deaf_to(self, *addresses: str) -> Iterator[None]:
        """Drop what some addresses send to it; what it sends to them still arrives."""
        with ExitStack() as undo:
            for address in addresses:
                undo.enter_context(self._rule("-s", address, "-j", "DROP"))
            yield

    @contextmanager
    def losing(self, probability: float) -> Iterator[None]:
        """Lose this share of the packets that reach it."""
        chance = ("-m", "statistic", "--mode", "random", "--probability", str(probability))
        with self._rule(*chance, "-j", "DROP"):
            yield

    @contextmanager
    def limited(self, rate: str) -> Iterator[None]:
        """Let no more through towards it than a rate of ``tc`` (``1mbit``)."""
        run(
            *("tc", "qdisc", "add", "dev", self.link, "root", "tbf"),
            *("rate", rate, "burst", "32kbit", "latency", "400ms"),
        )
        try:
            yield
        finally:
            run("tc", "qdisc", "del", "dev", self.link, "root")

    def dropped(self) -> int:
        """Count the packets that rules in force have dropped."""
        lines = run(*self.prefix, "iptables", "-nvxL", "INPUT").splitlines()[2:]
        return sum(int(line.split()[0]) for line in lines if "DROP" in line)

    @contextmanager
    def _rule(self, *rule: str) -> Iterator[None]:
        run(*self.prefix, "iptables", "-w", "-A", "INPUT", *rule)
        try:
            yield
        finally:
            run(*self.prefix, "iptables", "-w", "-D", "INPUT", *rule)


class Network:
    """A bridge in this network with namespaces on it; processes here reach them by their addresses."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._bridge = unique_name("b")
        self.namespaces: tuple[Namespace, ...] = ()

    def open(self) -> None:
        """Make it.

        Raises
        ------
        CommandFailedError
            The machine cannot; nothing is left behind.
        """
        try:
            subnet = _free_subnet()
            first, *rest = subnet.hosts()
            run("ip", "link", "add", self._bridge, "type", "bridge")
            run("ip", "address", "add", f"{first}/{subnet.prefixlen}", "dev", self._bridge)
            run("ip", "link", "set", self._bridge, "up")
            for address in rest[: self._count]:
                self._add(f"{address}", subnet.prefixlen)
        except CommandFailedError:
            self.close()
            raise

    def close(self) -> None:
        """Remove all of it; processes inside must have ended."""
        for one in self.namespaces:
            _quietly("ip", "link", "del", one.link)
            _quietly("ip", "netns", "del", one.name)
        self.namespaces = ()
        _quietly("ip", "link", "del", self._bridge)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _add(self, address: str, prefix_length: int) -> None:
        name, link, inside = unique_name("n"), unique_name("v"), unique_name("i")
        one = Namespace(name, address, link)
        self.namespaces = (*self.namespaces, one)
        run("ip", "netns", "add", name)
        run("ip", "link", "add", link, "type", "veth", "peer", "name", inside, "netns", name)
        run("ip", "link", "set", link, "master", self._bridge, "up")
        within = ("ip", "-n", name)
        run(*within, "address", "add", f"{address}/{prefix_length}", "dev", inside)
        run(*within, "link", "set", inside, "up")
        run(*within, "link", "set", "lo", "up")


def _free_subnet() -> ipaddress.IPv4Network:
    """Find a subnet that no interface of this machine is in."""
    taken = [
        ipaddress.IPv4Network(f"{one['local']}/{one['prefixlen']}", strict=False)
        for interface in json.loads(run("ip", "-j", "-4", "address"))
        for one in interface["addr_info"]
    ]
    candidates = list(SUBNETS.subnets(new_prefix=24))
    # Another run may look at the same moment.
    random.shuffle(candidates)
    for candidate in candidates:
        if not any(candidate.overlaps(one) for one in taken):
            return candidate
    raise CommandFailedError("no free subnet below 10.213.0.0/16")


def _quietly(*argv: str) -> None:
    try:
        run(*argv)
    except CommandFailedError:
        return


def remove_left_over(names: Sequence[str]) -> None:
    """Remove namespaces and links by name; what is gone already is fine."""
    for name in names:
        _quietly("ip", "netns", "del", name)
        _quietly("ip", "link", "del", name)
