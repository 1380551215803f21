"""Which epoch holds, from the records of control."""

import msgspec

from core.epoch import TopicMark
from core.log import Record
from schemas.codec import encode
from schemas.control import EPOCH_KEY, FOLD_VERSION_KEY, EpochRecord, FoldVersionRecord
from schemas.epochs import bound_to, first_epoch, newest_epoch

FIRST = first_epoch("one", 4, 0)


def control(*messages: EpochRecord | FoldVersionRecord) -> list[Record]:
    keys = [EPOCH_KEY if isinstance(message, EpochRecord) else FOLD_VERSION_KEY for message in messages]
    return [
        Record("control", 0, offset, 0, key, encode(message), ())
        for offset, (key, message) in enumerate(zip(keys, messages, strict=True))
    ]


def holds(*messages: EpochRecord | FoldVersionRecord) -> EpochRecord:
    found = newest_epoch(control(*messages))
    assert found is not None
    return found


def test_of_two_that_raced_the_first_holds_also_when_the_loser_writes_again() -> None:
    assert holds(FIRST, first_epoch("two", 4, 0)) == FIRST
    assert holds(FIRST, first_epoch("two", 4, 0), FIRST) == FIRST
    assert newest_epoch([]) is None


def test_topics_bound_by_several_at_once_are_all_part_of_it() -> None:
    jobs, ready = {"jobs": TopicMark("a", 4)}, {"ready": TopicMark("b", 4)}
    found = holds(FIRST, bound_to(FIRST, "c", jobs), bound_to(FIRST, "c", ready))
    assert found.topics == jobs | ready
    assert found.cluster_id == "c"


def test_what_is_bound_is_not_bound_again_to_another_topic() -> None:
    bound = bound_to(FIRST, "c", {"jobs": TopicMark("a", 4)})
    assert bound_to(bound, "d", {"jobs": TopicMark("z", 4)}) == bound


def test_a_later_generation_replaces_all_of_it() -> None:
    bound = bound_to(FIRST, "c", {"jobs": TopicMark("a", 4)})
    making = EpochRecord("two", 8, 1, 0, generation=2, making=True)
    assert holds(bound, making) == making
    made = msgspec.structs.replace(making, making=False, topics={"jobs": TopicMark("b", 8)})
    assert holds(bound, making, made) == made
    assert holds(made, bound) == made


def test_a_fold_version_belongs_to_the_epoch_it_was_announced_under() -> None:
    second = EpochRecord("two", 4, 1, 0, generation=2)
    assert holds(FIRST, FoldVersionRecord(2)).fold_version == 2
    assert holds(FIRST, FoldVersionRecord(2), second).fold_version == 1
    assert holds(FIRST, FoldVersionRecord(2), second, FoldVersionRecord(2)).fold_version == 2


def test_a_fold_version_survives_that_topics_are_bound_and_the_topic_is_compacted() -> None:
    known = holds(FIRST, FoldVersionRecord(2))
    rebound = bound_to(known, "c", {"jobs": TopicMark("a", 4)})
    assert holds(FoldVersionRecord(2), rebound).fold_version == 2


def test_records_of_the_version_before_are_read_and_read_by_it() -> None:
    old = b'{"kind":"EPOCH","epoch":"one","partitions":4,"fold_version":1,"created_ms":0}'
    assert newest_epoch([Record("control", 0, 0, 0, EPOCH_KEY, old, ())]) == FIRST
    assert encode(FIRST) == old
