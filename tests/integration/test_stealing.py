"""Executors with free slots take work that waits for others, and nothing runs twice for it."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from adapters.kafka.progress import KafkaGroupProgress
from adapters.kafka.reader import reading
from core.ledger.verdicts import Succeeded
from core.log import TopicPartition
from core.stealing import Look
from penstock.identity import home
from schemas.accepted_job import AcceptedJob, QueuedJob
from schemas.codec import decode_if_verdict, job_record
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import Program, wait_until
from tests.support.servers import Servers

APP = """
import os, time
from penstock import task

@task("note")
def note(ctx, payload):
    with open(os.environ["EFFECTS"], "a", encoding="utf-8") as file:
        file.write(ctx.job_id + "\\n")
    time.sleep(payload["s"])
"""
BUSY = 0
"""The partition at which all jobs are at home."""


@pytest.fixture
def piped(servers: Servers, topic_prefix: str, tmp_path: Path) -> Iterator[Pipeline]:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "noting.py").write_text(APP)
    with pipeline(servers, topic_prefix, tmp_path) as made:
        yield made


def executor(piped: Pipeline, name: str, slots: int = 1, **settings: str) -> Program:
    """Start an executor of one worker process."""
    return piped.start(
        "executor",
        name,
        PENSTOCK_APP="noting",
        PENSTOCK_APP_PATH=str(piped.directory / "app"),
        PENSTOCK_WORKERS="1",
        PENSTOCK_SLOTS=str(slots),
        PENSTOCK_LEASE_S="6",
        PENSTOCK_HEARTBEAT_S="0.5",
        EFFECTS=str(piped.directory / "effects"),
        **settings,
    )


def queue_up(piped: Pipeline, count: int, seconds: float) -> list[AcceptedJob]:
    """Hand jobs of one home to the executors, as the prioritizer does."""
    jobs: list[AcceptedJob] = []
    for number in range(count):
        while home(job_id := str(uuid.uuid4()), piped.routes.partitions) != BUSY:
            pass
        payload = msgspec.Raw(msgspec.json.encode({"s": seconds}))
        origin = f"{piped.epoch.epoch}:0:{number}"
        jobs.append(AcceptedJob(origin, job_id, "note", "t", "default", payload, 5, 0, 60.0, 3, "", ""))
    topic = piped.routes.execution("default", 0)
    records = [
        job_record(topic, BUSY, QueuedJob(job, number, 0, 0.0), job, b"") for number, job in enumerate(jobs)
    ]
    piped.append(records)
    return jobs


def look(piped: Pipeline) -> Look:
    """Ask how far the group of the executors has come."""

    async def ask() -> Look:
        lanes = [
            TopicPartition(topic, partition)
            for topic in piped.routes.executions("default")
            for partition in range(piped.routes.partitions)
        ]
        async with reading(piped.kafka, client_id="test") as reader:
            progress = KafkaGroupProgress(piped.kafka, reader, group=piped.routes.group("executor.default"))
            try:
                return await progress.look(lanes)
            finally:
                await progress.close()

    return asyncio.run(ask())


def is_shared(piped: Pipeline) -> bool:
    """Whether both executors are in the group and it has settled."""

    async def ask() -> bool:
        admin: Any = AIOKafkaAdminClient(bootstrap_servers=piped.servers.kafka_bootstrap)
        await admin.start()
        try:
            (answer,) = await admin.describe_consumer_groups([piped.routes.group("executor.default")])
            _, _, state, _, _, members, *_ = answer.groups[0]
        except KafkaError:
            # The first group of a broker waits for the topic of offsets.
            return False
        finally:
            await admin.close()
        return state == "Stable" and len(members) == 2

    return asyncio.run(ask())


def verdicts(piped: Pipeline) -> list[object]:
    found = (decode_if_verdict(record) for record in piped.read(piped.routes.ledger))
    return [verdict for verdict in found if verdict is not None]


def all_succeeded(piped: Pipeline, jobs: list[AcceptedJob]) -> bool:
    ended = {verdict.job_id for verdict in verdicts(piped) if isinstance(verdict, Succeeded)}
    return ended == {job.job_id for job in jobs}


def effects(piped: Pipeline) -> Counter[str]:
    return Counter((piped.directory / "effects").read_text(encoding="utf-8").split())


def winners(piped: Pipeline) -> Counter[str]:
    """Count, by instance, the dispatches it ran."""
    return Counter(
        verdict.executor.partition(":")[0] for verdict in verdicts(piped) if isinstance(verdict, Succeeded)
    )


def test_an_idle_executor_takes_work_of_a_busy_one_and_each_dispatch_runs_once(piped: Pipeline) -> None:
    with executor(piped, "one"), executor(piped, "two"):
        wait_until(lambda: is_shared(piped), "a group of two", 60)
        jobs = queue_up(piped, 20, 0.5)
        wait_until(lambda: all_succeeded(piped, jobs), "all jobs", 90)
        wait_until(lambda: not any(seen.lag for seen in look(piped).values()), "contiguous commits", 30)

    assert effects(piped) == Counter(job.job_id for job in jobs)
    # One of them owns the busy partition; alone it would have run all.
    ran = winners(piped)
    assert len(ran) == 2, ran
    assert min(ran.values()) >= 5, ran


def test_with_stealing_off_an_executor_runs_only_what_is_its_own(piped: Pipeline) -> None:
    with executor(piped, "one", PENSTOCK_STEAL="off"), executor(piped, "two", PENSTOCK_STEAL="off"):
        wait_until(lambda: is_shared(piped), "a group of two", 60)
        jobs = queue_up(piped, 8, 0.5)
        wait_until(lambda: all_succeeded(piped, jobs), "all jobs", 60)
    assert len(winners(piped)) == 1
