"""What speaks against going on with the topics that are found."""

import pytest

from core.epoch import Change, ClusterView, NotDrained, TopicMark, differences

MADE = {"jobs": TopicMark("a", 4), "jobs.events": TopicMark("b", 4)}


def changes(
    topics: dict[str, TopicMark], cluster_id: str = "c", names: str = "jobs jobs.events"
) -> list[Change]:
    found = differences("c", MADE, ClusterView(cluster_id, topics), names.split(), "e")
    return [difference.change for difference in found]


def test_the_same_topics_differ_in_nothing() -> None:
    assert changes(dict(MADE)) == []


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"jobs": MADE["jobs"]}, Change.MISSING),
        (MADE | {"jobs": TopicMark("z", 4)}, Change.RECREATED),
        (MADE | {"jobs": TopicMark("a", 5)}, Change.REPARTITIONED),
        (MADE | {"jobs": TopicMark("z", 5)}, Change.RECREATED),
    ],
)
def test_each_change_is_told_apart(found: dict[str, TopicMark], expected: Change) -> None:
    assert changes(found) == [expected]


def test_a_topic_nobody_bound_is_unknown_and_one_that_nobody_asks_for_does_not_matter() -> None:
    found = MADE | {"jobs.exec.gpu.b0": TopicMark("g", 4)}
    assert changes(found) == []
    assert changes(found, names="jobs jobs.exec.gpu.b0") == [Change.UNKNOWN]
    assert changes({"jobs": MADE["jobs"]}, names="jobs") == []


def test_on_another_cluster_only_that_is_said() -> None:
    assert changes({}, cluster_id="d") == [Change.OTHER_CLUSTER]


def test_without_notes_of_an_older_version_only_what_is_missing_is_seen() -> None:
    found = differences("", {}, ClusterView("c", {"jobs": TopicMark("a", 4)}), ["jobs", "jobs.events"], "e")
    assert [difference.text for difference in found] == ["topic jobs.events is missing"]


def test_what_is_not_over_is_one_line_with_examples() -> None:
    assert (
        NotDrained("open jobs", "in the ledger", 3, ("x", "y")).text
        == "3 open jobs in the ledger (x, y, ...)"
    )
    assert NotDrained("open jobs", "in the ledger", 1, ("x",)).text == "1 open jobs in the ledger (x)"
    assert NotDrained("open jobs", "in the ledger", 1).text == "1 open jobs in the ledger"
