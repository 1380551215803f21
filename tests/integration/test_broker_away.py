"""Services whose broker stands still: what they say, and that they end when they are told to."""

import json
import re
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.codec import decode_accepted
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import Program, wait_until
from tests.support.servers import Servers

JOB = json.dumps({"type": "email.send"}).encode()
STOP_TIMEOUT_S = 2.0
DRAIN_GRACE_S = 1.0
CLEAN_UP_S = 8.0
"""What leaving a silent broker may take beside the two above."""


@pytest.fixture
def mine(servers: Servers, topic_prefix: str, tmp_path: Path) -> Iterator[Pipeline]:
    if servers.data is None:
        pytest.skip("only an embedded broker can be made to stand still")
    with pipeline(servers, topic_prefix, tmp_path) as prepared:
        yield prepared


def produce(mine: Pipeline, count: int) -> None:
    producer = Producer({"bootstrap.servers": mine.servers.kafka_bootstrap})
    for index in range(count):
        producer.produce(mine.routes.jobs, value=JOB, partition=index % mine.routes.partitions)
    assert producer.flush(30) == 0


class Running:
    """A service process and the port of its health."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def readiness(self) -> tuple[int, str]:
        port = re.search(r"metrics on port (\d+)", self.program.output)
        if port is None:
            return 0, ""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}/readyz", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read().decode()


def test_services_say_that_the_broker_is_away_and_stop_in_time_all_the_same(mine: Pipeline) -> None:
    limits = {
        "PENSTOCK_STOP_TIMEOUT_S": str(STOP_TIMEOUT_S),
        "PENSTOCK_DRAIN_GRACE_S": str(DRAIN_GRACE_S),
        # It looks into models again and again, also while nobody answers.
        "PENSTOCK_TRAINER_CHECK_S": "0.1",
    }
    names = ("ingest", "scheduler", "prioritizer", "executor", "dlq_handler", "trainer")
    with ExitStack() as stack:
        services = [Running(stack.enter_context(mine.start(name, **limits))) for name in names]
        wait_until(lambda: all(one.readiness()[0] == 200 for one in services), "services ready", 60)
        with mine.servers.paused("kafka"):
            wait_until(
                lambda: all("no broker has answered" in one.readiness()[1] for one in services),
                "services say that no broker answers",
                30,
            )
            assert [one.readiness()[0] for one in services] == [503] * len(services)
            told_s = time.monotonic()
            for one in services:
                one.program.process.terminate()
            codes = [one.program.process.wait(60) for one in services]
            took_s = time.monotonic() - told_s
    assert codes == [0] * len(services), [one.program.output[-2000:] for one in services]
    assert took_s < STOP_TIMEOUT_S + DRAIN_GRACE_S + CLEAN_UP_S


def test_what_was_under_way_when_a_service_gave_up_is_done_by_the_next(mine: Pipeline) -> None:
    produce(mine, 200)
    with mine.start("ingest", PENSTOCK_STOP_TIMEOUT_S=str(STOP_TIMEOUT_S)) as ingest:
        wait_until(lambda: "runs on epoch" in ingest.output, "ingest runs")
        with mine.servers.paused("kafka"):
            ingest.process.terminate()
            assert ingest.process.wait(STOP_TIMEOUT_S + CLEAN_UP_S) == 0
    with mine.running("ingest"):
        wait_until(
            lambda: len({decode_accepted(record).origin for record in mine.read(mine.routes.ready)}) == 200,
            "every job is ready",
            60,
        )


def test_services_go_on_by_themselves_when_the_broker_is_back(mine: Pipeline) -> None:
    with mine.start("ingest") as program:
        ingest = Running(program)
        wait_until(lambda: ingest.readiness()[0] == 200, "ingest ready", 60)
        with mine.servers.paused("kafka"):
            wait_until(lambda: ingest.readiness()[0] == 503, "ingest says that no broker answers")
        produce(mine, 20)
        mine.wait_for(mine.routes.ready, 20)
        wait_until(lambda: ingest.readiness()[0] == 200, "ingest ready again")


def test_a_member_whose_loop_was_blocked_is_put_out_and_comes_back(mine: Pipeline) -> None:
    """Its partitions go on elsewhere; what it does when it wakes is a repeat, and its commit is refused."""
    session = {"PENSTOCK_SESSION_TIMEOUT_S": "6"}
    blocked = session | {"PENSTOCK_FAILPOINTS": "ingest.appended:block:s=14"}
    with ExitStack() as stack:
        sleeper = Running(stack.enter_context(mine.start("ingest", "sleeper", **blocked)))
        wait_until(lambda: sleeper.readiness()[0] == 200, "the first is ready", 60)
        other = Running(stack.enter_context(mine.start("ingest", "other", **session)))
        wait_until(lambda: other.readiness()[0] == 200, "the second is ready", 60)
        produce(mine, 40)
        # The outputs of the sleeper's batch are in the log, its offsets are not committed.
        wait_until(lambda: copies(mine, 40) >= 2, "the other repeats what the sleeper had not committed", 60)
        refused = "OffsetCommit failed for group"
        wait_until(lambda: refused in sleeper.program.output, "the late commit is refused", 60)
        produce(mine, 40)
        wait_until(lambda: copies(mine, 80) >= 1, "all jobs are ready", 60)
        wait_until(lambda: sleeper.readiness()[0] == 200, "the sleeper is a member again", 60)
        wait_until(lambda: committed(mine) == 80, "everything is committed", 60)
        assert sleeper.program.process.poll() is None


def copies(mine: Pipeline, jobs: int) -> int:
    """How often the most repeated job is ready; 0 while not all of so many are."""
    counts = Counter(decode_accepted(record).origin for record in mine.read(mine.routes.ready))
    return max(counts.values()) if len(counts) == jobs else 0


def committed(mine: Pipeline) -> int:
    """Offsets of ``jobs`` that ingest has committed, all partitions together."""
    consumer = Consumer(
        {"bootstrap.servers": mine.servers.kafka_bootstrap, "group.id": mine.routes.group("ingest")}
    )
    try:
        places = [TopicPartition(mine.routes.jobs, number) for number in range(mine.routes.partitions)]
        return sum(max(0, place.offset) for place in consumer.committed(places, timeout=10))
    finally:
        consumer.close()
