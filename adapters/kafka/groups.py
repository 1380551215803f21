"""Consumer groups from outside: who is in them, how far they are, and removing them."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code
from aiokafka.protocol.admin import DeleteGroupsRequest

from adapters.kafka.patience import answered
from core.log import TopicPartition
from penstock.connection import KafkaConnection

COORDINATOR_TIMEOUT_S = 60.0

_NON_EMPTY_GROUP = 68
_GROUP_ID_NOT_FOUND = 69


class GroupInUseError(Exception):
    """A group has members, so its offsets cannot be removed."""


@asynccontextmanager
async def administering(connection: KafkaConnection) -> AsyncIterator[Any]:
    """Open aiokafka's admin client for the life of the block."""
    admin: Any = AIOKafkaAdminClient(**connection.client_options())
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def members_of(connection: KafkaConnection, groups: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Name the members of each group by their instance; groups without members are left out."""
    async with administering(connection) as admin:
        known = {name for name, *_ in await admin.list_consumer_groups()}
        found: dict[str, tuple[str, ...]] = {}
        for name in sorted(set(groups) & known):
            # One at a time: aiokafka 0.14 reads an answer of version 3 as one of version 2, and gets lost
            # behind its first group.
            (answer,) = await admin.describe_consumer_groups([name])
            members = answer.to_object()["groups"][0]["members"]
            if members:
                found[name] = tuple(sorted(member["client_id"] for member in members))
    return found


async def committed_of(
    connection: KafkaConnection, groups: Iterable[str]
) -> dict[str, dict[TopicPartition, int]]:
    """Give the committed offsets of each group; a group that never was has none."""
    committed: dict[str, dict[TopicPartition, int]] = {}
    async with administering(connection) as admin:
        known = {name for name, *_ in await admin.list_consumer_groups()}
        for group in groups:
            offsets = await admin.list_consumer_group_offsets(group) if group in known else {}
            committed[group] = {
                TopicPartition(tp.topic, tp.partition): place.offset
                for tp, place in offsets.items()
                if place.offset >= 0
            }
    return committed


async def delete_groups(connection: KafkaConnection, groups: Iterable[str]) -> None:
    """Remove groups with their committed offsets; those that never were are passed over.

    Raises
    ------
    GroupInUseError
        One has members; nothing of that group was removed.
    aiokafka.errors.KafkaError
        The cluster refuses, or no broker led a group within ``COORDINATOR_TIMEOUT_S``; call again.
    """
    async with administering(connection) as admin:
        for group in groups:
            # A cluster whose first group this is makes the topic of their offsets only now.
            await answered(
                partial(_delete_group, admin, group),
                f"removing group {group}",
                patience_s=COORDINATOR_TIMEOUT_S,
            )


async def _delete_group(admin: Any, group: str) -> None:
    node = await admin.find_coordinator(group)
    answer = await admin._send_request(DeleteGroupsRequest([group]), node)  # noqa: SLF001 - aiokafka 0.14 speaks it and offers no method
    for name, code in answer.results:
        if code == _NON_EMPTY_GROUP:
            raise GroupInUseError(f"a service is in group {name}")
        if code and code != _GROUP_ID_NOT_FOUND:
            raise for_code(code)(f"cannot remove group {name}")
