"""What a broker knows of one consumer group: members, generation, shares, committed offsets."""

from dataclasses import dataclass, field

from core.log import TopicPartition
from core.sharing import share_out


@dataclass(slots=True)
class Group:
    """Members by instance name; every join and leave starts a new generation.

    A generation counts from the moment it starts, whether its members have noticed or not: one
    that has not looked since is a zombie, and its commits are refused.
    """

    generation: int = 0
    committed: dict[TopicPartition, int] = field(default_factory=dict)
    _members: dict[str, tuple[int, frozenset[TopicPartition]]] = field(default_factory=dict)
    _joins: int = 0

    def join(self, instance: str, partitions: frozenset[TopicPartition]) -> int:
        """Add a member (or a newer process of the same instance); give the number of the join."""
        self._joins += 1
        self.generation += 1
        self._members[instance] = (self._joins, partitions)
        return self._joins

    def leave(self, instance: str, join: int) -> None:
        """Remove a member, unless a newer process of its instance has taken its place."""
        if self.has(instance, join):
            del self._members[instance]
            self.generation += 1

    def has(self, instance: str, join: int) -> bool:
        """Whether this very join is still the member of that name."""
        return instance in self._members and self._members[instance][0] == join

    def share(self, instance: str) -> frozenset[TopicPartition]:
        """Give what a member owns now: its numbers in every topic it subscribes to."""
        numbers = {tp.partition for _, wanted in self._members.values() for tp in wanted}
        shares = share_out(sorted(numbers), {name: name for name in self._members})
        mine = set(shares[instance])
        return frozenset(tp for tp in self._members[instance][1] if tp.partition in mine)

    def commit(self, partition: TopicPartition, offset: int) -> None:
        """Move the committed offset of a partition."""
        self.committed[partition] = offset
