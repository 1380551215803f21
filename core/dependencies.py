"""What a job leans on beyond the pipeline, as far as its task or its payload says so."""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

HTTP_TYPE = "http.request"
"""The built-in task whose jobs call different hosts: what is wrong with one says nothing of the others."""
AT = "@"
"""Parts the type from the host. No type has it, so a circuit of one host is never taken for a type's."""
HOST_MAX_CHARS = 255

BUGS = frozenset(
    {
        *("ArithmeticError", "AssertionError", "AttributeError", "FloatingPointError", "ImportError"),
        *("IndentationError", "IndexError", "KeyError", "LookupError", "ModuleNotFoundError", "NameError"),
        *("NotImplementedError", "OverflowError", "RecursionError", "SyntaxError", "TypeError"),
        *("UnboundLocalError", "UnicodeDecodeError", "UnicodeEncodeError", "UnicodeError", "ValueError"),
        *("ValidationError", "ZeroDivisionError"),
    }
)
"""Exceptions that say something of code or payload. Nobody classified them, so they are retried as transient
ones are; that something the task calls is down they do not say."""
_OF_A_DEPENDENCY = frozenset({"transient", "overload", "timeout"})


class _HasUrl(msgspec.Struct):
    url: str = ""


_decode_url = msgspec.json.Decoder(_HasUrl).decode


class Leaning(NamedTuple):
    """What one job stands and falls with."""

    circuit: str
    """Name of its circuit: its type, narrowed to the host where its payload names one."""
    uses: tuple[str, ...] = ()
    """The dependencies its task names, or that host; empty when nothing is known but the type."""


def leaning_of(type_: str, uses: Sequence[str], payload: bytes) -> Leaning:
    """Say what a job leans on.

    Parameters
    ----------
    uses
        What its task was declared with.
    """
    host = host_of(payload) if type_ == HTTP_TYPE else ""
    if host:
        return Leaning(f"{type_}{AT}{host}", (host,))
    return Leaning(type_, tuple(uses))


def circuit_of(type_: str, payload: bytes) -> str:
    """Give the name of the circuit of a job."""
    return leaning_of(type_, (), payload).circuit


def host_of(payload: bytes) -> str:
    """Give the host, with its port where the URL has one, of a payload's ``url``; empty when there is none.

    User name and password of a URL are never part of it.
    """
    try:
        parts = urlsplit(_decode_url(payload).url)
        host, port = (parts.hostname or "").lower(), parts.port
    except (msgspec.DecodeError, ValueError):
        return ""
    return "" if not host else f"{host}:{port}"[:HOST_MAX_CHARS] if port else host[:HOST_MAX_CHARS]


def is_of_dependency(error_class: str, error_type: str) -> bool:
    """Whether a failure may mean that what the task calls is down.

    A permanent error is an answer, a lost worker is no call, and a bug is not the other side's.
    """
    return error_class in _OF_A_DEPENDENCY and error_type not in BUGS
