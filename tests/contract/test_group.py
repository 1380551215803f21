"""What every ``GroupMember`` promises."""

import asyncio

import pytest

from core.log import TopicPartition
from ports.log import GroupMember, OffsetOutOfRangeError
from tests.contract.reading import DEADLINE_S, record, take, texts, until_assigned
from tests.support.logs_under_test import LogUnderTest

LEAVE_DEADLINE_S = 6.0
"""Well below the 30 s after which a silent member is put out anyway."""


async def _fill(log: LogUnderTest, *topics: str, partitions: int, count: int) -> None:
    await log.create(*topics, partitions=partitions)
    appender = await log.appender()
    await appender.append(
        [record(t, p, f"{p}.{i}") for t in topics for i in range(count) for p in range(partitions)]
    )


def _shared_out(first: GroupMember, second: GroupMember) -> bool:
    one, two = first.assignment.partitions, second.assignment.partitions
    return len(one) == len(two) == 2 and not one & two


async def test_a_member_has_no_assignment_before_it_joined(log: LogUnderTest) -> None:
    topic = log.name("t")
    await _fill(log, topic, partitions=2, count=1)
    member = await log.member("a-0", [topic])
    if member.assignment.number == 0:
        assert member.assignment.partitions == frozenset()

    batch = await take(member, 2)

    assert batch.assignment == member.assignment.number >= 1


async def test_a_lone_member_owns_every_partition_number_of_all_topics(log: LogUnderTest) -> None:
    topics = [log.name("t"), log.name("u")]
    await _fill(log, *topics, partitions=3, count=2)
    member = await log.member("a-0", topics)

    batch = await take(member, 12)

    assert member.assignment.partitions == {0, 1, 2}
    assert sorted((r.topic, r.partition, r.offset) for r in batch.records) == [
        (t, p, i) for t in topics for p in range(3) for i in range(2)
    ]


async def test_two_members_share_by_number_so_a_number_is_one_members_in_every_topic(
    log: LogUnderTest,
) -> None:
    topics = [log.name("t"), log.name("u")]
    await _fill(log, *topics, partitions=4, count=1)
    first = await log.member("a-0", topics)
    await take(first, 8)
    second = await log.member("a-1", topics)
    await until_assigned(first, second, when=lambda: _shared_out(first, second))
    appender = await log.appender()
    await appender.append([record(t, p, f"new {p}") for t in topics for p in range(4)])

    seen: dict[tuple[str, int], set[int]] = {}
    async with asyncio.timeout(DEADLINE_S):
        while len(seen) < 8 or not all(
            any(key in seen for key in [(t, p)]) for t in topics for p in range(4)
        ):
            for which, member in enumerate((first, second)):
                for found in (await member.poll(0.1)).records:
                    if (found.value or b"").startswith(b"new"):
                        seen.setdefault((found.topic, found.partition), set()).add(which)

    for (_, partition), members in seen.items():
        owner = 0 if partition in first.assignment.partitions else 1
        assert members == {owner}


async def test_a_rebalance_gives_a_new_assignment_number(log: LogUnderTest) -> None:
    topic = log.name("t")
    await _fill(log, topic, partitions=4, count=1)
    first = await log.member("a-0", [topic])
    before = (await take(first, 4)).assignment

    second = await log.member("a-1", [topic])
    await until_assigned(first, second, when=lambda: _shared_out(first, second))

    assert first.assignment.number > before


async def test_a_commit_stamped_with_an_older_assignment_commits_nothing(log: LogUnderTest) -> None:
    topic = log.name("t")
    await _fill(log, topic, partitions=4, count=3)
    first = await log.member("a-0", [topic])
    old = await take(first, 12)
    second = await log.member("a-1", [topic])
    await until_assigned(first, second, when=lambda: _shared_out(first, second))
    mine = TopicPartition(topic, min(first.assignment.partitions))

    assert not await first.commit(old.assignment, {mine: 3})

    assert first.committed(mine) == 0


async def test_what_is_taken_over_goes_on_from_the_committed_offset_and_what_is_kept_where_it_was(
    log: LogUnderTest,
) -> None:
    topic = log.name("t")
    await _fill(log, topic, partitions=4, count=3)
    first = await log.member("a-0", [topic])
    batch = await take(first, 12)
    assert await first.commit(batch.assignment, {TopicPartition(topic, p): 2 for p in range(4)})
    second = await log.member("a-1", [topic])
    again: list[str] = []

    async with asyncio.timeout(DEADLINE_S):
        while not (_shared_out(first, second) and len(again) >= 2):
            assert (await first.poll(0.1)).records == []
            again += texts((await second.poll(0.1)).records)

    kept, taken = first.assignment.partitions, second.assignment.partitions
    assert sorted(again) == [f"{partition}.2" for partition in sorted(taken)]
    assert first.assignment.kept_since(batch.assignment) == kept
    assert second.assignment.kept_since(second.assignment.number - 1) == frozenset()
    # What was given out before the rebalance is committed under the new assignment.
    positions = {TopicPartition(topic, partition): 3 for partition in kept}
    assert await first.commit(first.assignment.number, positions)


async def test_a_kept_partition_stays_paused_through_a_rebalance(log: LogUnderTest) -> None:
    topic = log.name("t")
    await _fill(log, topic, partitions=4, count=1)
    first = await log.member("a-0", [topic])
    await take(first, 4)
    first.pause([TopicPartition(topic, p) for p in range(4)])
    second = await log.member("a-1", [topic])
    await until_assigned(first, second, when=lambda: _shared_out(first, second))
    appender = await log.appender()
    kept = sorted(first.assignment.partitions)
    await appender.append([record(topic, p, f"{p} later") for p in kept])

    assert (await first.poll(0.7)).records == []

    first.resume([TopicPartition(topic, p) for p in kept])
    assert sorted(texts((await take(first, 2)).records)) == [f"{p} later" for p in kept]


async def test_with_start_at_every_partition_starts_over_at_each_rebalance(log: LogUnderTest) -> None:
    topic = log.name("t")
    await _fill(log, topic, partitions=4, count=2)
    first = await log.member("a-0", [topic], start_at=lambda _tp, _committed: 1)
    before = (await take(first, 4)).assignment
    first.pause([TopicPartition(topic, p) for p in range(4)])
    second = await log.member("a-1", [topic])
    await until_assigned(second, when=lambda: len(second.assignment.partitions) == 2)

    again = texts((await take(first, 2)).records)

    assert sorted(again) == [f"{partition}.1" for partition in sorted(first.assignment.partitions)]
    assert first.assignment.kept_since(before) == frozenset()


async def test_commits_move_the_committed_offset_and_never_back(log: LogUnderTest) -> None:
    topic = log.name("t")
    await _fill(log, topic, partitions=1, count=5)
    member = await log.member("a-0", [topic])
    stamp = (await take(member, 5)).assignment
    partition = TopicPartition(topic, 0)
    assert member.committed(partition) == 0

    assert await member.commit(stamp, {partition: 4})
    assert await member.commit(stamp, {partition: 2})

    assert member.committed(partition) == 4
    await member.close()
    restarted = await log.member("a-0", [topic])
    assert texts((await take(restarted, 1)).records) == ["0.4"]


async def test_committing_nothing_or_what_is_not_owned_is_harmless(log: LogUnderTest) -> None:
    topic, foreign = log.name("t"), log.name("u")
    await _fill(log, topic, partitions=1, count=2)
    await log.create(foreign, partitions=1)
    member = await log.member("a-0", [topic])
    stamp = (await take(member, 2)).assignment

    assert await member.commit(stamp, {})
    assert await member.commit(stamp, {TopicPartition(foreign, 0): 1})


async def test_a_restarted_member_resumes_at_what_it_committed(log: LogUnderTest) -> None:
    topic = log.name("t")
    await _fill(log, topic, partitions=2, count=4)
    member = await log.member("a-0", [topic])
    batch = await take(member, 8)
    positions = {TopicPartition(topic, 0): 1, TopicPartition(topic, 1): 3}
    assert await member.commit(batch.assignment, positions)
    await member.close()

    restarted = await log.member("a-0", [topic])
    again = await take(restarted, 4)

    assert sorted(texts(again.records)) == ["0.1", "0.2", "0.3", "1.3"]
    assert {tp: restarted.committed(tp) for tp in positions} == positions


async def test_a_restarted_member_repeats_what_it_did_not_commit(log: LogUnderTest) -> None:
    topic = log.name("t")
    await _fill(log, topic, partitions=1, count=3)
    member = await log.member("a-0", [topic])
    await take(member, 3)
    await member.close()

    restarted = await log.member("a-0", [topic])

    assert texts((await take(restarted, 3)).records) == ["0.0", "0.1", "0.2"]


async def test_start_at_chooses_the_position_and_is_told_the_committed_one(log: LogUnderTest) -> None:
    topic = log.name("t")
    await _fill(log, topic, partitions=1, count=5)
    partition = TopicPartition(topic, 0)
    member = await log.member("a-0", [topic])
    assert await member.commit((await take(member, 5)).assignment, {partition: 3})
    await member.close()
    told: list[int] = []

    def start_at(_: TopicPartition, committed: int) -> int:
        told.append(committed)
        return 1

    restarted = await log.member("a-0", [topic], start_at=start_at)
    batch = await take(restarted, 4)

    assert texts(batch.records) == ["0.1", "0.2", "0.3", "0.4"]
    assert set(told) == {3}
    assert restarted.committed(partition) == 3


async def test_start_at_below_the_oldest_record_means_the_oldest(log: LogUnderTest) -> None:
    topic = log.name("t")
    await _fill(log, topic, partitions=1, count=5)
    await log.trim(TopicPartition(topic, 0), before=2)

    member = await log.member("a-0", [topic], start_at=lambda _tp, _committed: 0)

    assert texts((await take(member, 3)).records) == ["0.2", "0.3", "0.4"]
    assert member.committed(TopicPartition(topic, 0)) == 2


async def test_a_committed_offset_that_was_trimmed_stops_the_member(log: LogUnderTest) -> None:
    topic = log.name("t")
    await _fill(log, topic, partitions=1, count=5)
    partition = TopicPartition(topic, 0)
    member = await log.member("a-0", [topic])
    assert await member.commit((await take(member, 5)).assignment, {partition: 1})
    await member.close()
    await log.trim(partition, before=3)

    restarted = await log.member("a-0", [topic])

    with pytest.raises(OffsetOutOfRangeError):
        await take(restarted, 1)


async def test_a_poll_of_a_member_gives_no_more_than_asked_for(log: LogUnderTest) -> None:
    topic = log.name("t")
    await _fill(log, topic, partitions=2, count=10)
    member = await log.member("a-0", [topic])

    found: list[str] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(found) < 20:
            records = (await member.poll(0.5, max_records=3)).records
            assert len(records) <= 3
            found += texts(records)

    assert sorted(found) == sorted(f"{p}.{i}" for p in range(2) for i in range(10))


async def test_a_paused_partition_gives_nothing_until_it_is_resumed(log: LogUnderTest) -> None:
    topic = log.name("t")
    await _fill(log, topic, partitions=2, count=1)
    member = await log.member("a-0", [topic])
    await take(member, 2)
    paused = TopicPartition(topic, 0)
    member.pause([paused, TopicPartition("nowhere", 7)])
    appender = await log.appender()
    await appender.append([record(topic, p, f"{p} later") for p in range(2)])

    assert texts((await take(member, 1)).records) == ["1 later"]
    assert (await member.poll(0.7)).records == []

    member.resume([paused, TopicPartition("nowhere", 7)])
    assert texts((await take(member, 1)).records) == ["0 later"]


async def test_groups_do_not_disturb_each_other(log: LogUnderTest) -> None:
    topic = log.name("t")
    await _fill(log, topic, partitions=1, count=2)
    one = await log.member("a-0", [topic], group="one")
    assert await one.commit((await take(one, 2)).assignment, {TopicPartition(topic, 0): 2})

    other = await log.member("b-0", [topic], group="other")

    assert texts((await take(other, 2)).records) == ["0.0", "0.1"]


async def test_a_member_that_closes_hands_its_partitions_over_at_once(log: LogUnderTest) -> None:
    topic = log.name("t")
    await _fill(log, topic, partitions=4, count=1)
    first = await log.member("a-0", [topic])
    second = await log.member("a-1", [topic])
    await until_assigned(first, second, when=lambda: _shared_out(first, second))

    await first.close()

    await until_assigned(
        second, when=lambda: len(second.assignment.partitions) == 4, deadline_s=LEAVE_DEADLINE_S
    )


async def test_a_restart_under_the_same_name_moves_no_partition_of_the_others(log: LogUnderTest) -> None:
    topic = log.name("t")
    await _fill(log, topic, partitions=4, count=1)
    first = await log.member("a-0", [topic])
    second = await log.member("a-1", [topic])
    await until_assigned(first, second, when=lambda: _shared_out(first, second))
    firsts, seconds = first.assignment.partitions, second.assignment.partitions

    await first.close()
    restarted = await log.member("a-0", [topic])
    await until_assigned(restarted, second, when=lambda: _shared_out(restarted, second))

    assert restarted.assignment.partitions == firsts
    assert second.assignment.partitions == seconds
