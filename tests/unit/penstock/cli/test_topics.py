from core.log import TopicPartition
from penstock.cli.topics import held_back, removed_pools
from ports.retention import Bounds
from schemas.topics import RouteMap

ROUTES = RouteMap(partitions=2, pools=("default", "gpu"), prefix="a.")
EXEC = [TopicPartition(ROUTES.execution("gpu", 0), number) for number in range(2)]
READY = TopicPartition(ROUTES.ready, 0)


def test_the_group_furthest_behind_is_named_with_what_it_has_to_read() -> None:
    bounds = {EXEC[0]: Bounds(5, 10), EXEC[1]: Bounds(0, 30), READY: Bounds(0, 4)}
    committed = {"a.penstock.executor.gpu": {EXEC[0]: 7, EXEC[1]: 12}, "a.penstock.prioritizer": {READY: 4}}
    assert held_back(ROUTES, bounds, committed) == {EXEC[0].topic: "a.penstock.executor.gpu (18)"}


def test_a_group_that_never_committed_is_named_with_all_there_is() -> None:
    assert held_back(ROUTES, {EXEC[0]: Bounds(4, 10)}, {}) == {EXEC[0].topic: "a.penstock.executor.gpu (6)"}


def test_topics_of_a_pool_that_is_not_configured_any_more_are_shown() -> None:
    existing = {
        "a.jobs.exec.old.b0",
        "a.jobs.exec.gpu.b0",
        "b.jobs.exec.x.b0",
        "a.jobs",
        "a.jobs.exec.old.b1",
    }
    assert [spec.name for spec in removed_pools(ROUTES, existing)] == [
        "a.jobs.exec.old.b0",
        "a.jobs.exec.old.b1",
    ]
