"""The pure parts of the commands: lags, heartbeats, coordinates, errors, cells."""

import msgspec
import psycopg
import pytest
import typer
from aiokafka.errors import KafkaConnectionError

from core.log import Record, TopicPartition
from penstock.cli.console import cell_text, explain
from penstock.cli.executors import last_heartbeats
from penstock.cli.rejected import Place, read_coordinate, readable
from penstock.cli.tail import full_name
from penstock.cli.topics import lags
from schemas.codec import encode
from schemas.executors import Heartbeat, Probe
from schemas.topics import RouteMap


def record(value: object, timestamp_ms: int = 0) -> Record:
    return Record("t", 0, 0, timestamp_ms, None, encode(value), ())


def heartbeat(
    executor: str, instance: str = "executor-0", seq: int = 1, *, goodbye: bool = False
) -> Heartbeat:
    return Heartbeat(executor, instance, "default", seq, ("e:0:1/1",), 32, 0, goodbye=goodbye)


def test_the_lag_of_a_group_is_summed_over_what_it_has_committed() -> None:
    committed = {"g": {TopicPartition("a", 0): 5, TopicPartition("a", 1): 8, TopicPartition("b", 0): -1}}
    ends = {TopicPartition("a", 0): 7, TopicPartition("a", 1): 8, TopicPartition("b", 0): 9}
    (row,) = lags(committed, ends)
    assert (row.group, row.topic, row.committed, row.end, row.lag) == ("g", "a", 13, 15, 2)
    assert row.partitions == {0: 2, 1: 0}


def test_an_executor_is_shown_by_its_last_heartbeat() -> None:
    records = [
        record(heartbeat("old", seq=9, goodbye=True), 1_000),
        record(heartbeat("new", seq=1), 50_000),
        record(heartbeat("new", seq=2), 58_000),
        record(Probe("new", 2, "k"), 59_000),
        record(heartbeat("dumb", "executor-1"), 2_000),
    ]
    found = last_heartbeats(records, {"executor-0": True}, 60_000)
    assert [(e.heartbeat.executor, e.heartbeat.seq, e.age_s, e.state) for e in found] == [
        ("new", 2, 2.0, "draining"),
        ("old", 9, 59.0, "gone"),
        ("dumb", 1, 58.0, "silent"),
    ]


def test_an_executor_is_silent_after_its_own_lease_not_after_the_default() -> None:
    records = [record(msgspec.structs.replace(heartbeat("short"), lease_s=6.0), 0)]
    assert [e.state for e in last_heartbeats(records, {}, 5_900)] == ["alive"]
    assert [e.state for e in last_heartbeats(records, {}, 6_100)] == ["silent"]


def test_a_coordinate_may_leave_out_the_topic() -> None:
    assert read_coordinate("x.jobs/3/14") == read_coordinate("3/14") == Place(3, 14)


@pytest.mark.parametrize("text", ["", "3", "a/b", "jobs/3/", "jobs/-1/2"])
def test_anything_else_is_no_coordinate(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="jobs/0/12"):
        read_coordinate(text)


def test_original_bytes_cannot_steer_the_terminal() -> None:
    assert readable(b"a\x1b[2J\xff\nb") == "a\\x1b[2J\\xff\nb"


@pytest.mark.parametrize("name", ["events", "jobs.events", "x.jobs.events"])
def test_a_topic_may_be_named_without_what_all_share(name: str) -> None:
    assert full_name(RouteMap(prefix="x."), name) == "x.jobs.events"


def test_an_unknown_topic_names_the_command_that_lists_them() -> None:
    with pytest.raises(typer.BadParameter, match="penstock topics"):
        full_name(RouteMap(), "evens")


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (KafkaConnectionError(), "penstock up"),
        (psycopg.errors.UndefinedTable("relation jobs\nLINE 1"), "penstock up"),
        (psycopg.OperationalError("connection refused\nmore"), "is the pipeline up"),
        (TimeoutError(), "no answer in time"),
    ],
)
def test_an_error_is_explained_in_one_line_with_the_remedy(error: Exception, remedy: str) -> None:
    text = explain(error)
    assert remedy in text
    assert "\n" not in text


def test_cells_are_short() -> None:
    assert [cell_text(value) for value in (None, True, 1.5, 2.0, 0.12345, -0.0001, {"a": 1}, 7)] == [
        "", "yes", "1.5", "2", "0.123", "0", '{"a":1}', "7",
    ]  # fmt: skip
