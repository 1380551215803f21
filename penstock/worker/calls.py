"""The two ends of a handler call: payload in, result or failure out. Shared with ``penstock.testing``."""

import math
import traceback
from typing import Any

import msgspec

from penstock.context import CancelReason, Context, clean_text
from penstock.errors import ErrorClass, PenstockError, PermanentError
from penstock.task import Task
from penstock.worker.frames import JobOutcome

TRACEBACK_MAX_BYTES = 8 * 1024
"""UTF-8 bytes of a traceback; its end is kept, where the error stands."""

MESSAGE_MAX_BYTES = 2 * 1024
"""UTF-8 bytes of an error message."""

_ENTRY_MAX_BYTES = 1024
"""UTF-8 bytes of one frame, or of the message, within a traceback."""

_FRAMES_MAX = 40
_NAMED_FAULTS_MAX = 5
_JSON_NULL = b"null"


def load_payload(task: Task, raw: bytes) -> Any:
    """Read a payload as the handler wants it: plain JSON values, or an instance of the task's model.

    Raises
    ------
    PermanentError
        It is not JSON or does not fit the model; the message names the fields, and neither it nor the
        traceback repeats their values.
    """
    try:
        if task.payload_model is None:
            return msgspec.json.decode(raw)
        return task.payload_model.model_validate_json(raw)
    except ValueError as error:
        raise PermanentError(f"the payload does not fit task {task.type!r}: {_faults(error)}") from None


def _faults(error: ValueError) -> str:
    """Name the fields of a pydantic error without repeating their values, which may be secret."""
    list_errors = getattr(error, "errors", None)
    if list_errors is None:
        return str(error)
    faults = list_errors(include_url=False, include_input=False)
    named = [f"{'.'.join(map(str, one['loc'])) or 'payload'}: {one['msg']}" for one in faults]
    rest = len(named) - _NAMED_FAULTS_MAX
    return "; ".join(named[:_NAMED_FAULTS_MAX]) + (f"; and {rest} more" if rest > 0 else "")


def dump_result(value: object, max_bytes: int) -> bytes:
    """Write a return value as JSON.

    Raises
    ------
    PermanentError
        It is not JSON (NaN and NUL characters included) or is over ``max_bytes``.
    """
    if value is None:
        return _JSON_NULL
    try:
        raw = msgspec.json.encode(value, enc_hook=_dump_foreign)
        # The encoder writes NaN as null, and jsonb cannot hold NUL: both are rare, so look only then.
        if _JSON_NULL in raw or b"\\u0000" in raw:
            _refuse_unstorable(msgspec.to_builtins(value, enc_hook=_dump_foreign))
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        message = f"the result is not JSON: {error}; return dicts, lists, strings, numbers or None"
        raise PermanentError(message) from error
    if len(raw) > max_bytes:
        message = (
            f"the result has {len(raw)} bytes of JSON, over the limit of {max_bytes}; "
            f"store it elsewhere and return where it is"
        )
        raise PermanentError(message)
    return raw


def _dump_foreign(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise TypeError(f"{type(value).__name__} cannot be written as JSON")
    return dump(mode="json")


def _refuse_unstorable(value: Any) -> None:
    match value:
        case float() if not math.isfinite(value):
            raise ValueError(f"{value} has no JSON form")
        case str() if "\0" in value:
            raise ValueError("a string holds the NUL character, which Postgres cannot store")
        case dict():
            for name, inner in value.items():
                _refuse_unstorable(name)
                _refuse_unstorable(inner)
        case list() | tuple() | set() | frozenset():
            for inner in value:
                _refuse_unstorable(inner)
        case _:
            pass


def failure(key: str, error: BaseException, context: Context, run_s: float) -> JobOutcome:
    """Give the outcome of an attempt that ended in an exception; never raises."""
    error_class, error_type, message = _described(error, context)
    return JobOutcome(
        key=key,
        ok=False,
        run_s=run_s,
        error_class=error_class,
        error_type=error_type,
        message=clean_text(message, MESSAGE_MAX_BYTES),
        traceback=_traceback(error),
        retry_after_s=_retry_after_s(error),
        log_tail=context.log_tail,
        unclassified=is_unclassified(error),
    )


def _described(error: BaseException, context: Context) -> tuple[ErrorClass, str, str]:
    """Class, type name and text of a failure; a cancellation is named by why it was asked for."""
    if type(error).__name__ == "CancelledError":
        match context.cancel_reason:
            case CancelReason.TIMEOUT:
                return "timeout", "TaskTimeout", "the attempt ran past its timeout and was cancelled"
            case CancelReason.CANCEL:
                return "permanent", "Cancelled", "the job was cancelled"
            case None:
                pass
    return _classified(error), clean_text(type(error).__name__, 200), _text(error)


def _classified(error: BaseException) -> ErrorClass:
    if isinstance(error, PenstockError):
        return error.error_class
    return "transient" if _retry_after_s(error) is None else "overload"


def is_unclassified(error: BaseException) -> bool:
    """Whether an exception says nothing about itself; those of the operating system are from outside."""
    says = isinstance(error, PenstockError | OSError) or type(error).__name__ == "CancelledError"
    return not says and _retry_after_s(error) is None


def _retry_after_s(error: BaseException) -> float | None:
    wanted = getattr(error, "retry_after_s", None)
    if isinstance(wanted, int | float) and math.isfinite(wanted) and wanted >= 0:
        return float(wanted)
    return None


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:
        return f"(the error's own text failed: {type(broken).__name__})"


def _traceback(error: BaseException) -> str:
    below_us = error.__traceback__.tb_next if error.__traceback__ else None
    try:
        lines = traceback.format_exception(type(error), error, below_us, limit=-_FRAMES_MAX)
    except Exception:
        return ""
    # Entries are cut first: a long message must not push the frames out.
    cut = (clean_text(line.rstrip("\n"), _ENTRY_MAX_BYTES) for line in lines)
    raw = "\n".join(cut).encode()[-TRACEBACK_MAX_BYTES:]
    return clean_text(raw.decode("utf-8", "ignore"), TRACEBACK_MAX_BYTES)
