"""How many bytes partitions take on the brokers' disks: a request that aiokafka has not."""

from typing import Any

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Int64, Schema, String
from typing_extensions import override


class _Answer(Response):
    API_KEY = 35
    API_VERSION = 1
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "log_dirs",
            Array(
                ("error_code", Int16),
                ("log_dir", String("utf-8")),
                (
                    "topics",
                    Array(
                        ("name", String("utf-8")),
                        (
                            "partitions",
                            Array(
                                ("partition", Int32),
                                ("size", Int64),
                                ("offset_lag", Int64),
                                ("is_future", Boolean),
                            ),
                        ),
                    ),
                ),
            ),
        ),
    )


class _Question(RequestStruct):
    """Version 1 of DescribeLogDirs: every broker from 2.0 on has it."""

    API_KEY = 35
    API_VERSION = 1
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(("topics", Array(("topic", String("utf-8")), ("partitions", Array(Int32)))))


class DescribeLogDirs(Request[_Question]):
    """Asks one broker for the partitions it holds."""

    API_KEY = 35

    def __init__(self, topics: dict[str, list[int]]) -> None:
        self._topics = topics

    @override
    def build(self, request_struct_class: type[_Question]) -> _Question:
        return request_struct_class(list(self._topics.items()))


def sizes_in(answer: Any) -> dict[tuple[str, int], int]:
    """Give the bytes of each partition, copies that are being moved in left out."""
    return {
        (topic, partition): size
        for _, _, topics in answer.log_dirs
        for topic, partitions in topics
        for partition, size, _, is_future in partitions
        if not is_future
    }
