"""Which jobs a bulk command is about, as people write it and as the state table is asked."""

import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from penstock.client.errors import InvalidFilter
from penstock.client.rows import TERMINAL_STATES
from penstock.durations import seconds
from penstock.errors import TaskDefinitionError

OPEN_STATES = ("accepted", "waiting", "queued", "running", "retrying", "held")
"""States a job can still be cancelled in."""
_LABEL = "label."
Readers = Mapping[str, tuple[str, Callable[[str], Any]]]
"""By the name of a condition: the member of the filter, and how its value is read."""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Open jobs that meet every condition; several values of one condition are alternatives.

    Attributes
    ----------
    states
        Of ``OPEN_STATES``.
    labels
        Pairs a job must have, all of them.
    older_than_s
        Submitted at least so long ago, by the clock of Postgres.
    """

    types: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    workflow_ids: tuple[str, ...] = ()
    ordering_keys: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    older_than_s: float | None = None

    def __post_init__(self) -> None:
        """Refuse what would mean every job, or none.

        Raises
        ------
        InvalidFilter
            No condition, or a state that cannot be cancelled.
        """
        conditions = (self.types, self.tenants, self.pools, self.states, self.workflow_ids)
        if not any((*conditions, self.ordering_keys, self.labels, self.older_than_s)):
            raise InvalidFilter("a filter needs a condition, such as type=email.send or older-than=1h")
        ended = [state for state in self.states if state not in OPEN_STATES]
        if ended:
            why = "has ended" if ended[0] in TERMINAL_STATES else "is no state"
            raise InvalidFilter(f"state {ended[0]!r} {why}; open states are {', '.join(OPEN_STATES)}")

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Self:
        """Read conditions ``NAME=VALUE``, parted by spaces; values with spaces are quoted.

        Raises
        ------
        InvalidFilter
            Names what was not understood, and what can be written.
        """
        return cls(**read_conditions(texts, _READERS, _EXAMPLE))

    def parameters(self) -> dict[str, Any]:
        """Give the parameters of ``CONDITION``."""
        return {
            "states": list(self.states or OPEN_STATES),
            "types": list(self.types) or None,
            "tenants": list(self.tenants) or None,
            "pools": list(self.pools) or None,
            "workflow_ids": list(self.workflow_ids) or None,
            "ordering_keys": list(self.ordering_keys) or None,
            "labels": dict(self.labels) or None,
            "older_than_s": self.older_than_s,
        }


CONDITION = """
state = ANY(%(states)s)
  AND (%(types)s::text[] IS NULL OR type = ANY(%(types)s))
  AND (%(tenants)s::text[] IS NULL OR tenant = ANY(%(tenants)s))
  AND (%(pools)s::text[] IS NULL OR pool = ANY(%(pools)s))
  AND (%(workflow_ids)s::text[] IS NULL OR workflow_id = ANY(%(workflow_ids)s))
  AND (%(ordering_keys)s::text[] IS NULL OR ordering_key = ANY(%(ordering_keys)s))
  AND (%(labels)s::jsonb IS NULL OR labels @> %(labels)s)
  AND (%(older_than_s)s::float8 IS NULL OR submitted_at <= now() - make_interval(secs => %(older_than_s)s))
"""
"""SQL that holds for the rows of a filter, with its ``parameters``."""

_EXAMPLE = "type=email.send, state=queued,waiting, label.campaign=autumn or older-than=1h"


def read_conditions(texts: Iterable[str], readers: Readers, example: str) -> dict[str, Any]:
    """Read conditions ``NAME=VALUE`` into members of a filter, ``labels`` among them.

    Raises
    ------
    InvalidFilter
        Names what was not understood, and what can be written.
    """
    try:
        conditions = [word for text in texts for word in shlex.split(text)]
    except ValueError as error:
        raise InvalidFilter(f"the filter cannot be read: {error}") from None
    found: dict[str, Any] = {}
    labels: dict[str, str] = {}
    for condition in conditions:
        name, separator, value = condition.partition("=")
        if not separator or not value:
            raise InvalidFilter(f"{condition!r} is no condition: write NAME=VALUE, such as {example}")
        if name.startswith(_LABEL) and name != _LABEL:
            labels[name.removeprefix(_LABEL)] = value
        elif name in readers:
            member, read = readers[name]
            found[member] = read(value)
        else:
            known = ", ".join((*readers, "label.KEY"))
            raise InvalidFilter(f"no condition is called {name!r}; there are {known}")
    return found | {"labels": labels}


def words(text: str) -> tuple[str, ...]:
    """Read alternatives, parted by commas."""
    return tuple(word for word in text.split(",") if word)


def length_s(name: str) -> Callable[[str], float]:
    """Give the reader of a length of time, such as 1h30m."""

    def read(text: str) -> float:
        try:
            return seconds(text, name)
        except TaskDefinitionError as error:
            raise InvalidFilter(str(error)) from None

    return read


JOB_READERS: Readers = {
    "type": ("types", words),
    "tenant": ("tenants", words),
    "pool": ("pools", words),
    "workflow": ("workflow_ids", lambda text: (text,)),
    "ordering-key": ("ordering_keys", lambda text: (text,)),
    "older-than": ("older_than_s", length_s("older-than")),
}
"""Conditions that hold for jobs in any state."""
_READERS: Readers = {**JOB_READERS, "state": ("states", words)}
