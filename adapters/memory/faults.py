"""Faults a test asks for. They live in the fake alone: no port knows of them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass


class LogUnavailableError(Exception):
    """What a scheduled failure raises unless the test names another error."""


@dataclass(slots=True)
class _FailingAppend:
    error: Exception
    written: int


class Faults:
    """What goes wrong next; each scheduled failure happens once, in the order of scheduling.

    Parameters
    ----------
    notify
        Wakes whoever waits for records.
    """

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._appends: list[_FailingAppend] = []
        self._refused_commits = 0
        self._open = asyncio.Event()
        self._open.set()

    def fail_next_append(self, *, written: int = 0, error: Exception | None = None) -> None:
        """Let one append raise after it wrote the first ``written`` of its records.

        With ``written`` as large as the batch, everything is in the log and only the answer is
        lost: the caller must repeat, and the log then holds the batch twice.
        """
        self._appends.append(_FailingAppend(error or LogUnavailableError("scheduled by the test"), written))

    def take_failing_append(self) -> tuple[int, Exception] | None:
        """Give the scheduled failure of this append, if there is one; it is then used up."""
        if not self._appends:
            return None
        fault = self._appends.pop(0)
        return fault.written, fault.error

    def refuse_next_commit(self, times: int = 1) -> None:
        """Let commits answer False, as while the broker is away."""
        self._refused_commits += times

    def take_refused_commit(self) -> bool:
        """Whether this commit is to be refused."""
        if not self._refused_commits:
            return False
        self._refused_commits -= 1
        return True

    def go_away(self) -> None:
        """Let appends wait and polls give nothing until ``come_back``."""
        self._open.clear()

    def come_back(self) -> None:
        """End ``go_away``."""
        self._open.set()
        self._notify()

    @property
    def is_away(self) -> bool:
        """Whether the broker does not answer at the moment."""
        return not self._open.is_set()

    async def until_back(self) -> None:
        """Wait while the broker is away."""
        await self._open.wait()
