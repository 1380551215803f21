"""A maker of models in a process of its own: with limits, and gone with the memory it took.

Order and champion go in, what was found and the model come out, by pipes: no file is left behind.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple, assert_never

import msgspec
from typing_extensions import override

from adapters.embedded.plan import MODEL_KEY, child_environment
from ports.training import Found, Maker, MakingFailedError, Order, UnavailableError

logger = logging.getLogger(__name__)

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
PLAIN, RECORDS = "plain", "records"
_LENGTH_BYTES = 8
_encode = msgspec.json.Encoder().encode
_decode_order = msgspec.json.Decoder(Order).decode
_decode_found = msgspec.json.Decoder(Found).decode


class Came(Enum):
    """What came of an order; the first byte of an answer."""

    FOUND = b"F"
    UNAVAILABLE = b"U"
    FAILED = b"E"


class Limits(NamedTuple):
    """What a child may take."""

    memory_bytes: int
    """Address space: what is mapped, about half a gigabyte more than what is used."""
    time_s: float
    nice: int


def framed(head: bytes, tail: bytes) -> bytes:
    """Put two pieces of bytes into one."""
    return len(head).to_bytes(_LENGTH_BYTES, "little") + head + tail


def unframed(data: bytes) -> tuple[bytes, bytes]:
    """Take them apart again.

    Raises
    ------
    ValueError
        Something is missing.
    """
    end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "little")
    if len(data) < max(end, _LENGTH_BYTES):
        raise ValueError(f"{len(data)} bytes where {end} were announced")
    return data[_LENGTH_BYTES:end], data[end:]


def order_bytes(order: Order, champion: bytes) -> bytes:
    """Write what a child reads."""
    return framed(_encode(order), champion)


def read_order(data: bytes) -> tuple[Order, bytes]:
    """Read what a child is asked."""
    head, champion = unframed(data)
    return _decode_order(head), champion


def answer_bytes(came: Came, said: Found | str, model: bytes = b"") -> bytes:
    """Write what a child answers."""
    return came.value + framed(said.encode() if isinstance(said, str) else _encode(said), model)


def read_answer(data: bytes) -> tuple[Found, bytes]:
    """Read what a child has found.

    Raises
    ------
    UnavailableError, MakingFailedError
        It says so.
    ValueError
        It is no answer.
    """
    came = Came(data[:1])
    head, model = unframed(data[1:])
    match came:
        case Came.FOUND:
            return _decode_found(head), model
        case Came.UNAVAILABLE:
            raise UnavailableError(head.decode())
        case Came.FAILED:
            raise MakingFailedError(head.decode())
        case _:
            assert_never(came)


class ChildMaker(Maker):
    """A ``Maker`` that starts a process for each order.

    Parameters
    ----------
    environment
        Of the child: names the database, and the log's level and instance. The key that signs models is kept
        from it: what trains has no use for it.
    plain
        Have it say how far it is in plain lines, for people, instead of log records.
    command
        What is started; gets the limits as arguments.
    """

    def __init__(
        self,
        limits: Limits,
        environment: Mapping[str, str],
        *,
        plain: bool = False,
        command: Sequence[str] = ("-m", "adapters.train"),
    ) -> None:
        self._limits = limits
        self._words = PLAIN if plain else RECORDS
        handed = {name: value for name, value in environment.items() if name != MODEL_KEY}
        self._environment = {**child_environment(handed), **ONE_THREAD}
        self._command = (sys.executable, "-P", *command)

    @override
    async def make(self, order: Order, champion: bytes) -> tuple[Found, bytes]:
        limits = self._limits
        process = await asyncio.create_subprocess_exec(
            *self._command,
            *(str(os.getpid()), str(limits.memory_bytes), str(limits.nice), self._words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self._environment,
        )
        try:
            async with asyncio.timeout(limits.time_s):
                answer, _ = await process.communicate(order_bytes(order, champion))
        except TimeoutError:
            raise MakingFailedError(
                f"training took longer than {limits.time_s:.0f} s and was ended: give it more with "
                "PENSTOCK_TRAINER_LIMIT_S, or fewer rows with PENSTOCK_TRAINER_ROWS_MAX"
            ) from None
        finally:
            await _end(process)
        try:
            return read_answer(answer)
        except ValueError:
            raise MakingFailedError(_died(process.returncode, limits)) from None


async def _end(process: asyncio.subprocess.Process) -> None:
    """Leave no child behind, whatever became of its parent's wait."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _died(code: int | None, limits: Limits) -> str:
    what = f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"
    return (
        f"the process that trains ended with {what} and no answer; its last lines are above. If memory was "
        f"short (it may take {limits.memory_bytes >> 20} MB), raise PENSTOCK_TRAINER_MEMORY_MB or lower "
        "PENSTOCK_TRAINER_ROWS_MAX"
    )
