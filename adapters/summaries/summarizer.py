"""Summaries: by a model when one is set up, and from the words of the errors whenever that gives none."""

import asyncio
import hashlib
from typing import NamedTuple

import aiohttp
import orjson

from adapters.summaries.cache import AnswerCache
from adapters.summaries.settings import SummarySettings
from core.secrets_in_text import mask_secrets
from core.summaries import PROMPT_VERSION, Facts, accepted, extractive, question

ANSWER_MAX_BYTES = 65_536
"""Most that is read of an answer; three lines and what is around them take two thousand bytes."""
ANSWER_MAX_TOKENS = 220
AT_ONCE = 4

EXTRACTIVE = "extractive"


class Summary(NamedTuple):
    """Two or three lines, who made them, and why no model did."""

    lines: tuple[str, ...]
    by: str
    """``extractive``, or the name of the model."""
    why: str = ""


class NoAnswerError(Exception):
    """The model gave nothing that can be used; says why, without address, key or text of the answer."""


class Summarizer:
    """Makes summaries; never fails, and never waits longer than the settings allow.

    The first answer that does not come ends asking: one server that is away costs one time limit.

    Parameters
    ----------
    cache
        None: nothing is remembered.
    """

    def __init__(self, settings: SummarySettings, cache: AnswerCache | None) -> None:
        self._settings = settings
        self._cache = cache
        self._session: aiohttp.ClientSession | None = None
        self._room = asyncio.Semaphore(AT_ONCE)
        self._given_up = ""
        missing = settings.missing
        if missing:
            self._given_up = "no model is set up" if len(missing) == 3 else f"{missing[0]} is not set"

    async def close(self) -> None:
        """Let go of connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def of(self, facts: Facts) -> Summary:
        """Summarize. Every text is masked first: the model gets no more than a person at a screen may see."""
        facts = facts.through(mask_secrets)
        if self._given_up:
            return Summary(extractive(facts), EXTRACTIVE, self._given_up)
        try:
            return Summary(await self._answer(facts), self._settings.model)
        except NoAnswerError as error:
            return Summary(extractive(facts), EXTRACTIVE, str(error))

    async def _answer(self, facts: Facts) -> tuple[str, ...]:
        system, data = question(facts)
        digest = self._digest(system, data)
        kept = accepted(self._cache.get(digest)) if self._cache is not None else None
        if kept is not None:
            return kept
        async with self._room:
            lines = accepted(await self._ask(system, data))
        if lines is None:
            raise NoAnswerError("the model's answer was not one to three short lines of plain text")
        if self._cache is not None:
            self._cache.put(digest, "\n".join(lines))
        return lines

    def _digest(self, system: str, data: str) -> str:
        parts = (PROMPT_VERSION, self._settings.base_url, self._settings.model, system, data)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    async def _ask(self, system: str, data: str) -> object:
        if self._given_up:
            raise NoAnswerError(self._given_up)
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return _content(await self._post(system, data))
        except TimeoutError:
            self._given_up = f"the model gave no answer within {self._settings.timeout_s:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Their texts may hold the address, which may hold a password, or the header, which holds the key.
            self._given_up = f"the model cannot be asked ({type(error).__name__})"
        raise NoAnswerError(self._given_up)

    async def _post(self, system: str, data: str) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        body = {
            "model": self._settings.model,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": data}],
            "max_tokens": ANSWER_MAX_TOKENS,
            "temperature": 0,
        }
        headers = {"Authorization": f"Bearer {self._settings.api_key.get_secret_value()}"}
        url = self._settings.base_url.rstrip("/") + "/chat/completions"
        # A redirect would hand job texts, and on the same host the key, to whoever is named in it.
        async with self._session.post(url, json=body, headers=headers, allow_redirects=False) as response:
            if response.status != 200:
                self._given_up = f"the model's server answered {response.status}"
                raise NoAnswerError(self._given_up)
            received = b""
            async for chunk in response.content.iter_any():
                received += chunk
                if len(received) > ANSWER_MAX_BYTES:
                    raise NoAnswerError(f"the model's answer has more than {ANSWER_MAX_BYTES} bytes")
            return received


def _content(raw: bytes) -> object:
    try:
        return orjson.loads(raw)["choices"][0]["message"]["content"]
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError):
        raise NoAnswerError("the model's answer is not of the form of chat completions") from None
