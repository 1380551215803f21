"""Records of ``jobs.rejected``: what was no job, why, and everything needed to send it again."""

from base64 import b64encode

import msgspec

from core.log import Coordinate, Headers, Record
from schemas.rejection import Rejection

ORIGINAL_MAX_BYTES = 720_000
"""Most bytes of an original kept, key and headers included; as base64 960,000, which leaves
80 KB of ``MESSAGE_MAX_BYTES`` for the rest of the record."""
HEADERS_MAX = 64
"""Most headers kept; each one costs up to 30 bytes of JSON beside its content."""


class RejectedRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record that will not run, with its reason, its remedy and its original bytes.

    The original is unmasked: readers of this topic may read ``jobs`` as well.
    """

    reason: str
    """A value of ``schemas.rejection.Reason``."""
    message: str
    remedy: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    """Broker's append time of the original, milliseconds since 1970."""
    field: str | None = None
    value_excerpt: str | None = None
    value_base64: str | None = None
    """Original value; None for a null record."""
    key_base64: str | None = None
    headers_base64: tuple[tuple[str, str], ...] = ()
    """Names and base64 of the original's headers."""
    value_bytes: int = 0
    """Length of the original value, also when it was cut."""
    cut: bool = False
    """The original was too large to keep whole; as long as ``jobs`` keeps it, it stands at the coordinate."""
    job_id: str | None = None
    """For a repeat whose body differs: the job it repeats."""

    @property
    def coordinate(self) -> Coordinate:
        """Where the original stands."""
        return Coordinate(self.topic, self.partition, self.offset)


def rejected_record(record: Record, rejection: Rejection) -> RejectedRecord:
    """Make the record for ``jobs.rejected``; a pure function of both, at most 1 MiB as JSON."""
    value, key = record.value, record.key
    room = ORIGINAL_MAX_BYTES
    kept_value = _cut(value, room)
    room -= len(kept_value or b"")
    kept_key = _cut(key, room)
    room -= len(kept_key or b"")
    # Kafka knows headers without a value, and clients hand them on as None.
    headers = tuple((name, content or b"") for name, content in record.headers)
    kept_headers = _headers_that_fit(headers, room)
    return RejectedRecord(
        reason=rejection.reason,
        message=rejection.message,
        remedy=rejection.remedy,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp_ms,
        field=rejection.field,
        value_excerpt=rejection.value_excerpt,
        value_base64=_base64(kept_value),
        key_base64=_base64(kept_key),
        headers_base64=tuple((name, b64encode(content).decode()) for name, content in kept_headers),
        value_bytes=len(value or b""),
        cut=(kept_value, kept_key, kept_headers) != (value, key, headers),
    )


def _cut(content: bytes | None, room: int) -> bytes | None:
    return content if content is None else content[:room]


def _base64(content: bytes | None) -> str | None:
    return None if content is None else b64encode(content).decode()


def _headers_that_fit(headers: Headers, room: int) -> Headers:
    """Give the leading headers that fit; a name may be written six times as long by JSON escapes."""
    kept: list[tuple[str, bytes]] = []
    for name, content in headers[:HEADERS_MAX]:
        room -= 6 * len(name) + len(content)
        if room < 0:
            break
        kept.append((name, content))
    return tuple(kept)
