"""What the materializer writes about models."""

from typing import NamedTuple


class ModelRow(NamedTuple):
    """A model as its manifest says; the same in every record of it."""

    id: str
    kind: str
    created_ms: int
    created_by: str
    code_version: str
    begin_ms: int
    cut_ms: int
    rows: int
    features: str
    """JSON: the names."""
    metrics: str
    """JSON."""
    beside: str
    """JSON."""
    judged: str | None
    parent: str | None
    sha256: str
    size_bytes: int
    signed: bool
    purpose: str


class ActRow(NamedTuple):
    """Somebody said which models of a purpose are in force."""

    log_offset: int
    """Of the record: of two acts the one with the larger holds."""
    said_ms: int
    """Append time."""
    champion: str | None
    previous: str | None
    shadow: str | None
    enabled: bool
    said_by: str
    reason: str | None
    purpose: str


class ModelRows(NamedTuple):
    """What a batch says."""

    models: list[ModelRow]
    acts: list[ActRow]
