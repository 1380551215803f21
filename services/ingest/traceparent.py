"""W3C trace context: taken over from the producer, or made from the origin."""

import re

from penstock.identity import Origin, trace_id_from_origin

_TRACEPARENT = re.compile(
    rb"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace_id>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-.*)?",
    re.DOTALL,
)
_LENGTH = 55
"""Characters of version 00; what later versions append is not passed on."""


def trace_of(header: bytes | None, origin: Origin) -> tuple[str, str]:
    """Give (trace id, traceparent) of a job; an absent or invalid header is replaced, never an error.

    Both are a function of the arguments: a repeated hand-over stays in the same trace.
    """
    if header is not None:
        known = _TRACEPARENT.fullmatch(header)
        if known is not None and not (known["version"] == b"00" and known["more"]):
            return known["trace_id"].decode(), _as_version_00(header)
    trace_id = trace_id_from_origin(origin)
    # The root span needs an id of its own only within its trace, so half of the trace's id will do.
    return trace_id, f"00-{trace_id}-{trace_id[16:]}-01"


def _as_version_00(header: bytes) -> str:
    return f"00{header[2:_LENGTH].decode()}"
