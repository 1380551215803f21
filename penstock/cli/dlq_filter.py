"""Which dead letters a command is about, as people write it and as the tables are asked."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, LiteralString, Self

from psycopg.types.json import Jsonb

from penstock.client import InvalidFilter
from penstock.client.filters import CONDITION, JOB_READERS, Readers, length_s, read_conditions, words

CONDITIONS = (
    "'signature=S type=a,b tenant=T class=transient error=ConnectionError dead-for=1h dead-within=1d pool=P "
    "workflow=W ordering-key=K label.X=Y older-than=1d job=ID'"
)
EXAMPLE = "type=email.send, class=transient, signature=0a1b2c3d4e5f6071 or dead-within=1d"


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Dead jobs that meet every condition; several values of one condition are alternatives.

    Without any condition it is all of them: commands that change something refuse that.
    """

    types: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    workflow_ids: tuple[str, ...] = ()
    ordering_keys: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    older_than_s: float | None = None
    signatures: tuple[str, ...] = ()
    error_classes: tuple[str, ...] = ()
    error_types: tuple[str, ...] = ()
    dead_for_s: float | None = None
    dead_within_s: float | None = None
    job_ids: tuple[str, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Self:
        """Read conditions ``NAME=VALUE``, parted by spaces; values with spaces are quoted.

        Raises
        ------
        penstock.client.InvalidFilter
            Names what was not understood, and what can be written.
        """
        return cls(**read_conditions(texts, _READERS, EXAMPLE))

    @property
    def is_empty(self) -> bool:
        """Whether it is met by every dead job."""
        return self == LetterFilter()

    def parameters(self) -> dict[str, Any]:
        """Give the parameters of ``LETTER_CONDITION``."""
        return {
            "states": ["dead"],
            "types": list(self.types) or None,
            "tenants": list(self.tenants) or None,
            "pools": list(self.pools) or None,
            "workflow_ids": list(self.workflow_ids) or None,
            "ordering_keys": list(self.ordering_keys) or None,
            "labels": Jsonb(dict(self.labels)) if self.labels else None,
            "older_than_s": self.older_than_s,
            "signatures": list(self.signatures) or None,
            "error_classes": list(self.error_classes) or None,
            "error_types": list(self.error_types) or None,
            "dead_for_s": self.dead_for_s,
            "dead_within_s": self.dead_within_s,
            "job_ids": list(self.job_ids) or None,
        }


def _ids(text: str) -> tuple[str, ...]:
    try:
        return tuple(str(uuid.UUID(word)) for word in words(text))
    except ValueError:
        raise InvalidFilter(f"{text!r} is no job id; `penstock dlq summary` shows some") from None


_READERS: Readers = {
    **JOB_READERS,
    "signature": ("signatures", words),
    "class": ("error_classes", words),
    "error": ("error_types", words),
    "dead-for": ("dead_for_s", length_s("dead-for")),
    "dead-within": ("dead_within_s", length_s("dead-within")),
    "job": ("job_ids", _ids),
}

SIGNATURE: LiteralString = (
    "coalesce(l.signature, "
    "concat_ws(':', coalesce(l.error_class, l.outcome, 'unknown'), nullif(l.error_type, '')))"
)
"""What failures are grouped by, of an attempt ``l``: its signature where it has one, else class and type."""
LETTER_CONDITION: LiteralString = (
    CONDITION
    + "AND (%(signatures)s::text[] IS NULL OR "
    + SIGNATURE
    + """ = ANY(%(signatures)s))
  AND (%(error_classes)s::text[] IS NULL OR j.error_class = ANY(%(error_classes)s))
  AND (%(error_types)s::text[] IS NULL OR l.error_type = ANY(%(error_types)s))
  AND (%(dead_for_s)s::float8 IS NULL OR l.decided_at <= now() - make_interval(secs => %(dead_for_s)s))
  AND (%(dead_within_s)s::float8 IS NULL OR l.decided_at > now() - make_interval(secs => %(dead_within_s)s))
  AND (%(job_ids)s::uuid[] IS NULL OR j.job_id = ANY(%(job_ids)s::uuid[]))
"""
)
"""SQL that holds for dead jobs ``j`` whose last attempt is ``l``, with the filter's ``parameters``."""
