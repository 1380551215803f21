"""Carries out one order to train, read from standard input: ``adapters.train PARENT MEMORY NICE WORDS``.

A process of its own, because training takes memory and a core for minutes, and reads model bytes that
could crash it. It ends with its parent.
"""

import ctypes
import logging
import os
import resource
import signal
import sys
from typing import assert_never

from adapters.learned.child import PLAIN, Came, answer_bytes, read_order
from adapters.recordings.rows import TraceFormatError
from adapters.runtime.settings import ServiceSettings
from adapters.telemetry.logs import setup_logs
from ports.training import Found, Order, UnavailableError
from schemas.models import Purpose

logger = logging.getLogger("adapters.train")

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Give the exit code: 0 when there is an answer, whatever it says."""
    answers = os.fdopen(os.dup(1), "wb")
    # Whatever a library prints goes to the log, not into the answer.
    os.dup2(2, 1)
    parent, memory_bytes, nice = map(int, arguments[:3])
    _limit(parent, memory_bytes, nice)
    _speak(arguments[3])
    answer = _answer(*read_order(sys.stdin.buffer.read()))
    with answers:
        answers.write(answer)
    return 0


def _limit(parent: int, memory_bytes: int, nice: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        sys.exit("the parent died before the training began")
    os.nice(nice)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _speak(words: str) -> None:
    if words == PLAIN:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
    else:
        settings = ServiceSettings()
        setup_logs("trainer", settings.instance_of("trainer"), settings.log_level)


def _answer(order: Order, champion: bytes) -> bytes:
    try:
        found, model = carried_out(order, champion)
    except UnavailableError as error:
        return answer_bytes(Came.UNAVAILABLE, str(error))
    except TraceFormatError as error:
        return answer_bytes(Came.FAILED, str(error))
    except MemoryError:
        return answer_bytes(
            Came.FAILED,
            f"{order.rows_max} rows do not fit into the memory allowed: raise PENSTOCK_TRAINER_MEMORY_MB or "
            "lower PENSTOCK_TRAINER_ROWS_MAX",
        )
    return answer_bytes(Came.FOUND, found, model)


def carried_out(order: Order, champion: bytes) -> tuple[Found, bytes]:
    """Carry out an order on a recording, or on what stands in the database.

    Raises
    ------
    UnavailableError
        The database cannot be read now.
    TraceFormatError
        The recording cannot be read.
    """
    # Only in this process, and under its limits: whoever starts it never loads them. What takes a second
    # to load comes once there are rows.
    from adapters import train_rows  # noqa: PLC0415

    match order.purpose:
        case Purpose.ORDER:
            logged, waits_for = train_rows.rows_for(order, logger.info)
            from adapters.learned import making  # noqa: PLC0415

            return making.carried_out(order, champion, logged, waits_for, logger.info)
        case Purpose.RETRY:
            failures, waits_for = train_rows.retries_for(order)
            from adapters.learned import recovery_making  # noqa: PLC0415

            return recovery_making.carried_out(order, champion, failures, waits_for, logger.info)
        case _:
            assert_never(order.purpose)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
