"""An HTTP server that answers at once: ``python -m benchmarks.answering``, until its input ends."""

import asyncio
import sys

from aiohttp import web


async def _answer(_request: web.Request) -> web.Response:
    return web.json_response({"ok": True})


async def _serve() -> None:
    app = web.Application()
    app.router.add_post("/", _answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    _, port = runner.addresses[0][:2]
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(_serve())
