"""Sharing partition numbers among the members of a group."""

import hashlib
from collections.abc import Mapping, Sequence


def share_out(partitions: Sequence[int], members: Mapping[str, str]) -> dict[str, list[int]]:
    """Give every partition to one member: rendezvous hashing with a bound on the load.

    Each partition goes to the member with the largest hash of (stable name, partition) that still
    has room; nobody gets more than ``ceil(partitions / members)``. When a member joins or leaves,
    few partitions move besides its own. Plain rendezvous hashing would leave members idle at the
    small counts we have (4 partitions, 2 members: one gets all four every eighth time).

    Parameters
    ----------
    members
        Member id to stable instance name; ids order members of one name.
    """
    if not members:
        return {}
    room = -(-len(partitions) // len(members))
    shares: dict[str, list[int]] = {member: [] for member in members}
    for partition in sorted(partitions):
        ranked = sorted(members, key=lambda member: _weight(members[member], member, partition), reverse=True)
        chosen = next(member for member in ranked if len(shares[member]) < room)
        shares[chosen].append(partition)
    return shares


def _weight(name: str, member: str, partition: int) -> tuple[bytes, str]:
    return hashlib.blake2b(f"{name}/{partition}".encode(), digest_size=8).digest(), member
