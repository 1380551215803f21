"""A stub of an OpenAI-compatible server on the loopback address, which answers as a test says."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ChatServer:
    """What was asked, and what is answered from now on."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.answer: Answer = says("It failed.\nTrying again may help.")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Note what is asked, and answer."""
        self.keys.append(request.headers.get("Authorization", ""))
        self.asked.append(await request.json())
        return await self.answer(request)


def says(content: object) -> Answer:
    """Answer with this as the model's words."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response({"choices": [{"message": {"role": "assistant", "content": content}}]})

    return answer


def sends(body: bytes, status: int = 200, **headers: str) -> Answer:
    """Answer with these bytes."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, status=status, headers=headers)

    return answer


async def never(_: web.Request) -> web.StreamResponse:
    """Let the caller wait."""
    await asyncio.Event().wait()
    raise AssertionError


async def drops(request: web.Request) -> web.StreamResponse:
    """Close the connection without an answer."""
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def drips(request: web.Request) -> web.StreamResponse:
    """Answer a byte at a time, for ever: each comes in time, the whole never."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.02)


async def floods(request: web.Request) -> web.StreamResponse:
    """Answer without an end."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b'{"choices": [' * 1000)


@asynccontextmanager
async def chat_server() -> AsyncIterator[ChatServer]:
    """Run one, for the length of a block."""
    server = ChatServer()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()


@contextmanager
def chat_server_apart() -> Iterator[ChatServer]:
    """Run one in a thread, for callers with a loop of their own."""
    loop, running = asyncio.new_event_loop(), threading.Event()
    ended = asyncio.Event()
    servers: list[ChatServer] = []

    async def serve() -> None:
        async with chat_server() as server:
            servers.append(server)
            running.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=[serve()])
    thread.start()
    try:
        assert running.wait(30)
        yield servers[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(30)
        loop.close()


def data_of(asked: dict[str, Any]) -> dict[str, Any]:
    """Give the facts that a question holds as data."""
    text = asked["messages"][1]["content"]
    assert text.startswith("<data>")
    assert text.endswith("</data>")
    found: dict[str, Any] = json.loads(text.removeprefix("<data>").removesuffix("</data>"))
    return found
