"""Structured logs: one JSON object a line on standard error."""

import datetime as dt
import json
import logging
import math
import sys

from typing_extensions import override

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

AIOKAFKA_EVERY_S = 5.0


class JsonFormatter(logging.Formatter):
    """Writes level, logger, message and every ``extra`` field (job_id, attempt, trace_id, ...)."""

    def __init__(self, service: str, instance: str) -> None:
        super().__init__()
        self._fixed = {"service": service, "instance": instance}

    @override
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(),
            "level": record.levelname.lower(),
            **self._fixed,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class Unrepeated(logging.Filter):
    """Lets each kind of line of one library through once in ``every_s`` seconds.

    aiokafka says about 270 times a second that the broker is away; our own lines drown in that.
    """

    def __init__(self, library: str, every_s: float) -> None:
        super().__init__()
        self._library = library
        self._every_s = every_s
        self._said_s: dict[tuple[str, str], float] = {}
        """By logger and unformatted message, of which there are few."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(self._library):
            return True
        kind = record.name, str(record.msg)
        if record.created - self._said_s.get(kind, -math.inf) < self._every_s:
            return False
        self._said_s[kind] = record.created
        return True


def setup_logs(service: str, instance: str, level: str) -> None:
    """Send every logger to standard error as JSON lines; aiokafka only from WARNING up, and unrepeated."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service, instance))
    handler.addFilter(Unrepeated("aiokafka", AIOKAFKA_EVERY_S))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
