"""Which topics an epoch stands on, and what speaks against going on with those that are found. Pure."""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import NamedTuple

import msgspec


class TopicMark(msgspec.Struct, frozen=True, array_like=True):
    """What a topic's name stands for."""

    id: str
    """Given by the cluster when the topic is created; the same name never gets the same id again."""
    partitions: int


Marks = Mapping[str, TopicMark]
"""By topic name."""


class ClusterView(NamedTuple):
    """What a cluster says of itself and of the topics that were asked for; a missing one is not in it."""

    cluster_id: str
    topics: Marks


class Change(Enum):
    """How a topic, or the cluster, is not what the epoch was made on."""

    OTHER_CLUSTER = "other cluster"
    MISSING = "missing"
    RECREATED = "recreated"
    UNKNOWN = "unknown"
    """Not part of the epoch: made later, and never bound to it."""
    REPARTITIONED = "repartitioned"


class Difference(NamedTuple):
    """One difference and a sentence about it."""

    change: Change
    text: str


def differences(
    cluster_id: str, marks: Marks, found: ClusterView, names: Iterable[str], epoch: str
) -> list[Difference]:
    """Name what differs from what the epoch was made on; nothing: it is the same.

    Parameters
    ----------
    cluster_id, marks
        As the epoch's record has them. Empty: the record is of a version that did not note them, and
        only what is missing can be seen.
    found
        What the cluster says now.
    names
        The topics that matter to who asks.
    """
    if cluster_id and found.cluster_id != cluster_id:
        text = f"this is Kafka cluster {found.cluster_id}, but epoch {epoch} was made on cluster {cluster_id}"
        return [Difference(Change.OTHER_CLUSTER, text)]
    listed = (_difference(name, marks.get(name), found.topics.get(name), epoch) for name in sorted(names))
    known = [difference for difference in listed if difference is not None]
    return known if marks else [one for one in known if one.change is Change.MISSING]


def _difference(name: str, mark: TopicMark | None, found: TopicMark | None, epoch: str) -> Difference | None:
    if found is None:
        return Difference(Change.MISSING, f"topic {name} is missing")
    if mark is None:
        return Difference(Change.UNKNOWN, f"topic {name} is not part of epoch {epoch}")
    if found.id != mark.id:
        return Difference(
            Change.RECREATED,
            f"topic {name} was deleted and created again (its id is {found.id}, epoch {epoch} was made "
            f"with {mark.id})",
        )
    if found.partitions != mark.partitions:
        return Difference(
            Change.REPARTITIONED,
            f"topic {name} has {found.partitions} partitions, epoch {epoch} was made with {mark.partitions}",
        )
    return None


class NotDrained(NamedTuple):
    """Something that must end before the epoch may."""

    what: str
    """Such as ``unread records``."""
    where: str
    number: int
    examples: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Write it as one line."""
        shown = f" ({', '.join(self.examples)}{', ...' if self.number > len(self.examples) else ''})"
        return f"{self.number} {self.what} {self.where}".rstrip() + (shown if self.examples else "")
