"""Which addresses a webhook may reach, and sockets that reach no other."""

import asyncio
import ipaddress
import socket
from enum import Enum
from typing import Any

from aiohttp import TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from typing_extensions import override

from penstock.errors import PermanentError, TransientError

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")
_V4_COMPATIBLE = ipaddress.IPv6Network("::/96")
_ISATAP_MARKS = (0x00005EFE, 0x02005EFE)
_LOW_32 = 0xFFFFFFFF
_ALLOW = "set PENSTOCK_HTTP_ALLOW_PRIVATE=true for the executor to allow it"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Reach(Enum):
    """Which addresses may be connected to."""

    PUBLIC = "public"
    ANY = "any"


def refusal(text: str) -> str | None:
    """Why an address is not public, None when it is; IPv4 addresses inside IPv6 ones count too."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "not an IP address in its normal form"
    return next((why for each in (address, *_embedded(address)) if (why := _why_not_public(each))), None)


def _why_not_public(address: Address) -> str | None:
    kinds = {
        "unspecified": address.is_unspecified,
        "loopback": address.is_loopback,
        "link-local": address.is_link_local,
        "multicast": address.is_multicast,
        "site-local": isinstance(address, ipaddress.IPv6Address) and address.is_site_local,
        "a local NAT64 prefix": address in _NAT64_LOCAL,
        "private, shared or reserved": not address.is_global or address.is_reserved,
    }
    # IPv6 forms that only wrap an IPv4 address are judged by that address.
    if isinstance(address, ipaddress.IPv6Address) and _is_wrapper(address):
        return None
    return next((kind for kind, is_so in kinds.items() if is_so), None)


def _is_wrapper(address: ipaddress.IPv6Address) -> bool:
    return address.ipv4_mapped is not None or address in _NAT64


def _embedded(address: Address) -> list[ipaddress.IPv4Address]:
    """IPv4 addresses that a gateway or the kernel may take out of an IPv6 address."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    low = ipaddress.IPv4Address(int(address) & _LOW_32)
    found = [] if address.ipv4_mapped is None else [address.ipv4_mapped]
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    found.extend(address.teredo or ())
    if address in _NAT64 or address in _V4_COMPATIBLE or (int(address) >> 32) & _LOW_32 in _ISATAP_MARKS:
        found.append(low)
    return found


class CheckedResolver(AbstractResolver):
    """Resolves a name once and refuses it when any one of its addresses may not be reached."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Give the addresses of a name.

        Raises
        ------
        TransientError
            The name cannot be resolved now.
        PermanentError
            One of its addresses may not be reached.
        """
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        except OSError as error:
            raise TransientError(f"cannot resolve {host}: {error}") from error
        for *_, sockaddr in found:
            require_reachable(str(sockaddr[0]), host, self._reach)
        return [
            ResolveResult(
                hostname=host,
                host=str(sockaddr[0]),
                port=port,
                family=kind,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, proto, _, sockaddr in found
        ]

    @override
    async def close(self) -> None:
        """Nothing is held."""


def require_reachable(address: str, host: str, reach: Reach) -> None:
    """Raise PermanentError when an address may not be reached."""
    if reach is Reach.ANY:
        return
    why = refusal(address)
    if why is not None:
        raise PermanentError(f"{host} is at {address}, which is refused: {why}; {_ALLOW}")


def checked_connector(reach: Reach) -> TCPConnector:
    """Give a connector whose every socket goes to an address that was checked.

    The resolver checks names. The socket factory checks again what is really connected to: aiohttp
    hands hosts that look like numbers (``127.1``) past its resolver.
    """

    def make_socket(info: tuple[int, int, int, str, tuple[Any, ...]]) -> socket.socket:
        family, kind, proto, _, sockaddr = info
        require_reachable(str(sockaddr[0]), str(sockaddr[0]), reach)
        return socket.socket(family=family, type=kind, proto=proto)

    return TCPConnector(
        resolver=CheckedResolver(reach), use_dns_cache=False, socket_factory=make_socket, limit=0
    )
