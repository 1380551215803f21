"""``http.request``: delivers a webhook."""

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal, NoReturn

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, InvalidURL
from pydantic import BaseModel, ConfigDict, Field, model_validator
from yarl import URL

from penstock.builtin.addresses import Reach, checked_connector
from penstock.context import Context
from penstock.errors import OverloadError, PenstockError, PermanentError, TransientError
from penstock.task import task

BODY_MAX_BYTES = 16 * 1024
"""Bytes of the answer's body kept in the result; a quarter of the usual limit of a result."""

REDIRECTS_MAX = 5

_RETRY_AFTER_MAX_S = 86_400.0
_REDIRECT_STATUS = frozenset({301, 302, 303, 307, 308})
_OVERLOAD_STATUS = frozenset({429, 503})
_REQUEST_TIMEOUT = 408
_SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})
_TRUE = frozenset({"1", "true", "yes", "on"})

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class HttpPayload(BaseModel):
    """What to send."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(max_length=8192, description="http or https.")
    method: Method = "POST"
    headers: dict[str, str] = Field(default_factory=dict)
    json_body: Any = Field(default=None, alias="json", description="JSON body.")
    body: str | None = Field(default=None, description="Text body, UTF-8.")
    timeout_s: float = Field(default=30.0, gt=0, le=3600, description="Limit of the whole exchange.")
    expect_status: list[int] | int | None = Field(default=None, description="Default: any 2xx.")

    @model_validator(mode="after")
    def _one_body(self) -> "HttpPayload":
        if self.body is not None and self.json_body is not None:
            raise ValueError("give json or body, not both")
        return self


@dataclass(frozen=True)
class HttpSettings:
    """What the operator allows.

    Attributes
    ----------
    redirects_max
        0 refuses every redirect.
    """

    reach: Reach
    redirects_max: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "HttpSettings":
        """Read ``PENSTOCK_HTTP_ALLOW_PRIVATE`` and ``PENSTOCK_HTTP_ALLOW_REDIRECTS``; off unless true."""
        private = environment.get("PENSTOCK_HTTP_ALLOW_PRIVATE", "").lower() in _TRUE
        redirects = environment.get("PENSTOCK_HTTP_ALLOW_REDIRECTS", "").lower() in _TRUE
        return cls(Reach.ANY if private else Reach.PUBLIC, REDIRECTS_MAX if redirects else 0)


@task("http.request", payload=HttpPayload)
async def http_request(ctx: Context, payload: HttpPayload) -> dict[str, object]:
    """Send one request and judge the answer by its status.

    408 is transient, 429 and 503 are overload (``Retry-After`` honoured), other 5xx transient, what is
    left permanent. Redirects and addresses that are not public are refused unless allowed by setting.
    The answer's body is cut to ``BODY_MAX_BYTES``. Not promised: that a request whose answer was lost
    had no effect; give the receiver the job id to recognise a repeat by.
    """
    settings = HttpSettings.from_environment(os.environ)
    url = _checked_url(payload.url)
    try:
        async with asyncio.timeout(payload.timeout_s), _session(settings.reach) as session:
            return await _exchange(session, settings, payload, url)
    except PenstockError:
        raise
    except TimeoutError:
        raise TransientError(f"no answer from {_shown(url)} within {payload.timeout_s:g} s") from None
    except (InvalidURL, ValueError) as error:
        raise PermanentError(f"the request to {_shown(url)} cannot be made: {_named(error)}") from None
    except (ClientError, OSError) as error:
        ctx.log.warning("request failed", to=_shown(url), error=type(error).__name__)
        raise TransientError(f"the request to {_shown(url)} failed: {_named(error)}") from None


def _named(error: Exception) -> str:
    """Name a library's error; its own text only where that cannot hold the whole URL."""
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, OSError) else name


def _session(reach: Reach) -> ClientSession:
    """Open a session for one job: no cookie and no connection is shared between jobs or tenants."""
    return ClientSession(
        connector=checked_connector(reach), cookie_jar=DummyCookieJar(), timeout=ClientTimeout(total=None)
    )


async def _exchange(
    session: ClientSession, settings: HttpSettings, payload: HttpPayload, url: URL
) -> dict[str, object]:
    began = time.monotonic()
    method: str = payload.method
    headers = dict(payload.headers)
    body: dict[str, Any] = _body(payload)
    for _ in range(settings.redirects_max + 1):
        async with session.request(method, url, headers=headers, allow_redirects=False, **body) as response:
            if response.status not in _REDIRECT_STATUS or _is_expected(response.status, payload):
                return await _judged(response, payload, time.monotonic() - began)
            target = _next_url(response, url, settings)
        if response.status == 303 or (response.status in {301, 302} and method == "POST"):
            method, body = ("HEAD" if method == "HEAD" else "GET"), {}
        if target.origin() != url.origin():
            headers = {name: value for name, value in headers.items() if name.lower() not in _SECRET_HEADERS}
        url = target
    raise PermanentError(f"{_shown(url)}: more than {settings.redirects_max} redirects")


def _body(payload: HttpPayload) -> dict[str, Any]:
    if payload.json_body is not None:
        return {"json": payload.json_body}
    return {} if payload.body is None else {"data": payload.body.encode()}


def _next_url(response: ClientResponse, url: URL, settings: HttpSettings) -> URL:
    location = response.headers.get("Location")
    if location is None:
        raise PermanentError(f"{_shown(url)} answered {response.status} without a Location")
    if settings.redirects_max == 0:
        message = (
            f"{_shown(url)} answered {response.status}, a redirect, which is refused; send to its target, "
            f"or set PENSTOCK_HTTP_ALLOW_REDIRECTS=true for the executor (at most {REDIRECTS_MAX} hops)"
        )
        raise PermanentError(message)
    return _checked_url(str(url.join(URL(location))))


async def _judged(response: ClientResponse, payload: HttpPayload, took_s: float) -> dict[str, object]:
    if not _is_expected(response.status, payload):
        _raise_for_status(response)
    raw = await response.content.read(0) if response.method == "HEAD" else await _read(response)
    kept = raw[:BODY_MAX_BYTES]
    return {
        "status": response.status,
        "content_type": response.content_type,
        "body": kept.decode("utf-8", "replace").replace("\0", "\ufffd"),
        "truncated": len(raw) > BODY_MAX_BYTES,
        "took_s": round(took_s, 6),
    }


async def _read(response: ClientResponse) -> bytes:
    """Read one byte more than is kept, and no further: a body without end must not fill the worker."""
    raw = bytearray()
    while len(raw) <= BODY_MAX_BYTES:
        chunk = await response.content.read(BODY_MAX_BYTES + 1 - len(raw))
        if not chunk:
            break
        raw += chunk
    return bytes(raw)


def _is_expected(status: int, payload: HttpPayload) -> bool:
    match payload.expect_status:
        case None:
            return 200 <= status < 300
        case int() as wanted:
            return status == wanted
        case wanted:
            return status in wanted


def _raise_for_status(response: ClientResponse) -> NoReturn:
    status = response.status
    message = f"{_shown(response.url)} answered {status}"
    wait_s = _retry_after_s(response.headers.get("Retry-After"), time.time())
    if status in _OVERLOAD_STATUS:
        raise OverloadError(message, retry_after_s=wait_s)
    if status == _REQUEST_TIMEOUT or status >= 500:
        raise TransientError(message, retry_after_s=wait_s)
    raise PermanentError(message)


def _retry_after_s(value: str | None, now_s: float) -> float | None:
    """Read ``Retry-After``: seconds or an HTTP date (RFC 9110, 10.2.3); None when it is neither."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return min(float(value), _RETRY_AFTER_MAX_S)
    try:
        at_s = parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, at_s - now_s), _RETRY_AFTER_MAX_S)


def _checked_url(text: str) -> URL:
    try:
        url = URL(text)
    except ValueError as error:
        raise PermanentError(f"the url cannot be read: {error}") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise PermanentError(
            f"the url has scheme {url.scheme!r}; only http and https with a host are sent to"
        )
    return url


def _shown(url: URL) -> str:
    """Give a URL without user, password, query and fragment, where secrets stand."""
    return str(url.with_user(None).with_query(None).with_fragment(None))
