"""Asking a service whether it does its work, over its own HTTP port."""

import asyncio
from functools import partial

from adapters.embedded.loopback import HOST
from adapters.embedded.poll import until

ASK_AGAIN_S = 0.1
ANSWER_TIMEOUT_S = 2.0


async def wait_ready(port: int) -> None:
    """Return once ``/readyz`` answers 200; the caller sets the deadline."""
    await until(partial(is_ready, port), ASK_AGAIN_S)


async def is_ready(port: int) -> bool:
    """Ask ``/readyz`` once; no answer counts as no."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            status = await _status_line(port)
    except (OSError, TimeoutError):
        return False
    return status.split(b" ")[1:2] == [b"200"]


async def _status_line(port: int) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(f"GET /readyz HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        return await reader.readline()
    finally:
        writer.close()
