"""``http.request`` against real sockets on the loopback address."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from penstock.builtin import addresses
from penstock.builtin.http_request import BODY_MAX_BYTES, http_request
from penstock.testing import TaskRun, run_task


class Receiver:
    """A small server that notes what it got."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str, dict[str, str], str]] = []
        self.url = ""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.got.append((request.method, request.path_qs, dict(request.headers), await request.text()))
        if request.path == "/circle":
            return web.Response(status=307, headers={"Location": "/circle"})
        status = int(request.query.get("status", "200"))
        headers = {
            name: request.query[key]
            for key, name in (("to", "Location"), ("after", "Retry-After"))
            if key in request.query
        }
        return web.Response(status=status, headers=headers, text="x" * int(request.query.get("size", "2")))


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", made.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    made.url = f"http://127.0.0.1:{port}"
    yield made
    await runner.cleanup()


@pytest.fixture
def private_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_HTTP_ALLOW_PRIVATE", "true")


async def send(payload: dict[str, Any]) -> TaskRun:
    """Run off the loop, on which the receiver answers."""
    return await asyncio.to_thread(run_task, http_request, payload)


@pytest.mark.usefixtures("private_allowed")
class TestAnswers:
    async def test_a_delivery_carries_body_and_headers_and_gives_the_answer(self, receiver: Receiver) -> None:
        run = await send(
            {"url": f"{receiver.url}/hook?k=1", "json": {"a": 1}, "headers": {"X-Key": "s3cret"}}
        )
        assert run.result["status"] == 200
        assert run.result["body"] == "xx"
        ((method, path, headers, body),) = receiver.got
        assert (method, path, headers["X-Key"], body) == ("POST", "/hook?k=1", "s3cret", '{"a": 1}')

    @pytest.mark.parametrize(
        ("status", "error_class"),
        [(404, "permanent"), (408, "transient"), (429, "overload"), (500, "transient"), (503, "overload")],
    )
    async def test_a_status_decides_the_treatment_and_retry_after_is_honoured(
        self, receiver: Receiver, status: int, error_class: str
    ) -> None:
        run = await send({"url": f"{receiver.url}/?status={status}&after=17&token=s3cret"})
        assert run.error_class == error_class
        assert run.retry_after_s == (None if error_class == "permanent" else 17)
        assert "s3cret" not in run.message

    async def test_an_expected_status_is_a_success(self, receiver: Receiver) -> None:
        assert (await send({"url": f"{receiver.url}/?status=404", "expect_status": [404]})).ok
        assert not (await send({"url": receiver.url, "expect_status": 201})).ok

    async def test_a_long_body_is_cut(self, receiver: Receiver) -> None:
        run = await send({"url": f"{receiver.url}/?size={BODY_MAX_BYTES * 3}"})
        assert (len(run.result["body"]), run.result["truncated"]) == (BODY_MAX_BYTES, True)

    async def test_a_refused_connection_is_transient(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            run = await send({"url": f"http://127.0.0.1:{taken.getsockname()[1]}/?token=s3cret"})
        assert run.error_class == "transient"
        assert "s3cret" not in run.message + "".join(line.text for line in run.logs)

    async def test_no_answer_within_the_time_is_transient(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            run = await send({"url": f"http://127.0.0.1:{silent.getsockname()[1]}", "timeout_s": 0.2})
        assert run.error_class == "transient"
        assert "within 0.2 s" in run.message


@pytest.mark.usefixtures("private_allowed")
class TestRedirects:
    async def test_a_redirect_is_refused_by_default(self, receiver: Receiver) -> None:
        run = await send({"url": f"{receiver.url}/?status=302&to=/there"})
        assert run.error_class == "permanent"
        assert "PENSTOCK_HTTP_ALLOW_REDIRECTS" in run.message
        assert len(receiver.got) == 1

    async def test_an_allowed_redirect_is_followed(
        self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PENSTOCK_HTTP_ALLOW_REDIRECTS", "1")
        assert (await send({"url": f"{receiver.url}/?status=303&to=/there", "json": {}})).ok
        assert [(got[0], got[1]) for got in receiver.got][1] == ("GET", "/there")

    async def test_a_circle_ends(self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PENSTOCK_HTTP_ALLOW_REDIRECTS", "1")
        run = await send({"url": f"{receiver.url}/circle"})
        assert (run.error_class, "more than 5 redirects" in run.message) == ("permanent", True)
        assert len(receiver.got) == 6


class TestRefusedAddresses:
    @pytest.mark.parametrize(
        "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "0"]
    )
    async def test_nothing_is_sent_to_the_machine_itself(self, receiver: Receiver, host: str) -> None:
        port = receiver.url.rsplit(":", 1)[1]
        run = await send({"url": f"http://{host}:{port}/"})
        assert (run.error_class, receiver.got) == ("permanent", [])
        assert "refused" in run.message or "cannot be made" in run.message

    async def test_a_name_is_resolved_once_and_kept_as_host(
        self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        port = receiver.url.rsplit(":", 1)[1]
        real = addresses.refusal
        monkeypatch.setattr(addresses, "refusal", lambda text: None if text == "127.0.0.1" else real(text))
        # A rebinding resolver: what was checked first must be what is connected to.
        asked = answer(monkeypatch, ["127.0.0.1"], ["10.0.0.1"])
        run = await send({"url": f"http://rebound.example:{port}/"})
        assert run.ok, run.message
        assert asked == ["rebound.example"]
        assert receiver.got[0][2]["Host"] == f"rebound.example:{port}"

    async def test_a_name_with_one_private_address_among_public_ones_is_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answer(monkeypatch, ["93.184.216.34", "10.0.0.1"])
        run = await send({"url": "http://mixed.example/"})
        assert (run.error_class, "10.0.0.1" in run.message) == ("permanent", True)

    async def test_a_redirect_to_a_refused_address_is_not_followed(
        self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PENSTOCK_HTTP_ALLOW_REDIRECTS", "1")
        port = receiver.url.rsplit(":", 1)[1]
        real = addresses.refusal
        # The first hop counts as public, as a foreign site's would.
        monkeypatch.setattr(addresses, "refusal", lambda text: None if text == "127.0.0.1" else real(text))
        run = await send({"url": f"http://127.0.0.1:{port}/?status=302&to=http://169.254.169.254/latest"})
        assert (run.error_class, "169.254.169.254" in run.message) == ("permanent", True)

    @pytest.mark.parametrize(
        "url", ["file:///etc/passwd", "ftp://a.example/", "gopher://a", "//a.example", "http://"]
    )
    async def test_other_schemes_are_refused(self, url: str) -> None:
        assert (await send({"url": url})).error_class == "permanent"


def answer(monkeypatch: pytest.MonkeyPatch, *answers: Sequence[str]) -> list[str]:
    """Have names resolve to these answers, one after the other, and give the names asked for."""
    asked: list[str] = []
    rest = iter(answers)

    def getaddrinfo(host: str, port: int, *_: object, **__: object) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in next(rest)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked
