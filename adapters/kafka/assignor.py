"""Shares out partition numbers, not partitions: who owns number 3 owns it in every topic."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)
from typing_extensions import override

from core.sharing import share_out

VERSION = 0


def assignor_for(instance: str, switched: Callable[[], None]) -> type[Any]:
    """Make the assignor class of one member; its stable name travels as the member's user data.

    ``switched`` is called at the very moment the member's old assignment is replaced, before aiokafka
    reads anything under the new one. aiokafka hands ``assign`` nothing but member ids, which are new at
    every join; hashing those would move nearly every partition on every restart.
    """

    class InstanceAssignor(RendezvousAssignor):
        user_data = instance.encode()

        @classmethod
        @override
        def on_assignment(cls, assignment: Any) -> None:
            switched()

    return InstanceAssignor


class RendezvousAssignor(AbstractPartitionAssignor):
    """Bounded-load rendezvous hashing (Thaler and Ravishankar 1998; Mirrokni et al. 2018)."""

    name = "penstock-rendezvous"
    user_data = b""

    @classmethod
    def metadata(cls, topics: Iterable[str]) -> Any:
        """Say what this member subscribes to and what it is called."""
        return ConsumerProtocolMemberMetadata(VERSION, sorted(topics), cls.user_data)

    @classmethod
    def assign(cls, cluster: Any, members: Mapping[str, Any]) -> dict[str, Any]:
        """Give each member every subscribed topic of its partition numbers."""
        names = {
            member: (metadata.user_data or b"").decode() or member for member, metadata in members.items()
        }
        topics = sorted({topic for metadata in members.values() for topic in metadata.subscription})
        counts = {topic: cluster.partitions_for_topic(topic) or set() for topic in topics}
        shares = share_out(sorted(set().union(*counts.values())), names)
        return {
            member: ConsumerProtocolMemberAssignment(
                VERSION, _by_topic(metadata.subscription, counts, shares[member]), b""
            )
            for member, metadata in members.items()
        }

    @classmethod
    def on_assignment(cls, assignment: Any) -> None:
        """Nothing to remember: the next share is made from names alone."""


def _by_topic(
    subscription: Iterable[str], counts: Mapping[str, set[int]], numbers: Iterable[int]
) -> list[tuple[str, list[int]]]:
    mine = set(numbers)
    return [(topic, sorted(mine & counts[topic])) for topic in sorted(subscription)]
