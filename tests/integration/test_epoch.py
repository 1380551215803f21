"""Other topics than the epoch's are refused, and a new epoch takes their place after a drain."""

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import psycopg
import pytest
from aiokafka.admin import NewPartitions

from adapters.kafka.admin import (
    EpochError,
    create_topics,
    ensure_epoch,
    prepare_topics,
    require_epoch,
    write_epoch,
)
from adapters.kafka.cluster import describe_topics
from adapters.kafka.groups import administering, committed_of
from adapters.kafka.new_epoch import begin, finish
from adapters.postgres.migrate import upgrade
from core.services import SERVICES
from penstock.connection import DatabaseConnection
from schemas.control import EpochRecord
from schemas.topics import SCHEDULE_PARTITIONS
from tests.support.epochs import drained, left, live_executors, run_cli, states, submit
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import wait_until
from tests.support.servers import Servers

ALL = tuple(spec.name for spec in SERVICES)


@pytest.fixture
def mine(
    servers: Servers, topic_prefix: str, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pipeline]:
    with pipeline(servers, topic_prefix, tmp_path, database_url=database_url) as prepared:
        upgrade(DatabaseConnection.model_validate({"url": database_url}))
        monkeypatch.chdir(tmp_path)
        yield prepared


async def recreate(mine: Pipeline, *topics: str) -> None:
    async with administering(mine.kafka) as admin:
        before = await describe_topics(mine.kafka, topics)
        await admin.delete_topics(list(topics))
        while (await describe_topics(mine.kafka, topics)).topics.items() & before.topics.items():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await create_topics(mine.kafka, [spec for spec in mine.routes.specs() if spec.name in topics], 1)


def refusal(mine: Pipeline) -> str:
    with pytest.raises(EpochError) as caught:
        asyncio.run(require_epoch(mine.kafka, mine.routes))
    return str(caught.value)


def test_every_topic_of_the_epoch_is_bound_to_it(mine: Pipeline) -> None:
    epoch = asyncio.run(require_epoch(mine.kafka, mine.routes))
    names = {spec.name for spec in mine.routes.specs()}
    view = asyncio.run(describe_topics(mine.kafka, names))
    assert epoch.topics == view.topics
    assert epoch.topics.keys() == names
    assert epoch.cluster_id == view.cluster_id != ""


def test_each_topic_made_again_with_as_many_partitions_is_refused(mine: Pipeline) -> None:
    for name in (spec.name for spec in mine.routes.specs() if spec.name != mine.routes.control):
        asyncio.run(recreate(mine, name))
        said = refusal(mine)
        assert f"topic {name} was deleted and created again" in said
        assert mine.epoch.epoch in said
        assert "penstock epoch new --abandon" in said
        # Bind the new one as if it were right, to try the next alone.
        view = asyncio.run(describe_topics(mine.kafka, mine.epoch.topics))
        asyncio.run(
            write_epoch(
                mine.kafka, mine.routes, msgspec.structs.replace(mine.epoch, topics=dict(view.topics))
            )
        )


@pytest.mark.parametrize("service", ALL)
def test_every_service_refuses_a_topic_made_again(mine: Pipeline, service: str) -> None:
    asyncio.run(recreate(mine, mine.routes.jobs))
    with mine.start(service) as program:
        assert program.process.wait(60) == 1
    assert f"topic {mine.routes.jobs} was deleted and created again" in program.output
    assert "Traceback" not in program.output


def test_a_missing_topic_is_refused_and_not_made_anew(mine: Pipeline) -> None:
    async def lose() -> None:
        async with administering(mine.kafka) as admin:
            await admin.delete_topics([mine.routes.ready])

    asyncio.run(lose())
    assert f"topic {mine.routes.ready} is missing" in refusal(mine)
    with pytest.raises(EpochError, match="is missing"):
        asyncio.run(prepare_topics(mine.kafka, mine.routes, 1))


def test_added_partitions_are_refused_until_they_are_accepted(mine: Pipeline) -> None:
    async def grow() -> None:
        async with administering(mine.kafka) as admin:
            await admin.create_partitions(
                {mine.routes.jobs: NewPartitions(5), mine.routes.ledger: NewPartitions(3)}
            )

    asyncio.run(grow())
    said = refusal(mine)
    assert f"topic {mine.routes.jobs} has 5 partitions, epoch {mine.epoch.epoch} was made with 2" in said
    assert "penstock epoch accept" in said
    assert "accepted" in run_cli(mine, "epoch", "accept").stdout
    with mine.running(*ALL):
        submit(mine, 20)
        wait_until(lambda: states(mine.database_url) == {"succeeded": 20}, "all jobs ended", 60)


def test_the_same_topics_on_another_cluster_are_refused(mine: Pipeline) -> None:
    # What a mirror does: the records are copied, and the cluster is another one.
    elsewhere = msgspec.structs.replace(
        mine.epoch, generation=2, cluster_id="another", topics=dict(mine.epoch.topics)
    )
    asyncio.run(write_epoch(mine.kafka, mine.routes, elsewhere))
    said = refusal(mine)
    assert "was made on cluster another" in said
    assert "PENSTOCK_KAFKA_BOOTSTRAP" in said


def test_an_epoch_of_a_version_that_noted_no_topics_is_bound_by_the_next_prepare(
    servers: Servers, topic_prefix: str, tmp_path: Path
) -> None:
    with pipeline(servers, topic_prefix, tmp_path) as mine:
        routes = replace(mine.routes, prefix=f"{topic_prefix}old.")
        old = EpochRecord("old", routes.partitions, 1, 0)
        asyncio.run(create_topics(mine.kafka, routes.specs(), 1))
        asyncio.run(write_epoch(mine.kafka, routes, old))
        assert asyncio.run(require_epoch(mine.kafka, routes)) == old
        bound = asyncio.run(ensure_epoch(mine.kafka, routes))
        assert bound.epoch == "old"
        assert bound.topics.keys() == {spec.name for spec in routes.specs()}
        assert asyncio.run(require_epoch(mine.kafka, routes)) == bound


def test_several_that_prepare_at_once_agree_on_one_epoch(
    servers: Servers, topic_prefix: str, tmp_path: Path
) -> None:
    with pipeline(servers, topic_prefix, tmp_path) as mine:
        routes = replace(mine.routes, prefix=f"{topic_prefix}race.")

        async def race() -> list[EpochRecord]:
            tries = await asyncio.gather(*(prepare_topics(mine.kafka, routes, 1) for _ in range(4)))
            return [epoch for _, epoch in tries]

        epochs = asyncio.run(race())
        assert len({epoch.epoch for epoch in epochs}) == 1
        assert asyncio.run(require_epoch(mine.kafka, routes)).epoch == epochs[0].epoch


@pytest.mark.parametrize("topic", ["jobs", "jobs.events"])
def test_services_stop_when_a_topic_is_made_again_under_them(mine: Pipeline, topic: str) -> None:
    programs = [mine.start(service) for service in ALL]
    try:
        submit(mine, 5)
        wait_until(lambda: states(mine.database_url) == {"succeeded": 5}, "it works", 60)
        asyncio.run(recreate(mine, f"{mine.routes.prefix}{topic}"))
        recreated_s = time.monotonic()
        for program in programs:
            assert program.process.wait(60) == 1, program.output
        assert time.monotonic() - recreated_s < 40
        said = f"topic {mine.routes.prefix}{topic} was deleted and created again"
        assert all(
            said in program.output or "not in the log any more" in program.output for program in programs
        )
        assert sum(said in program.output for program in programs) >= 4
    finally:
        for program in programs:
            program.process.kill()
            program.process.wait()


@pytest.mark.parametrize("partitions", [5, 1])
def test_a_pipeline_goes_on_in_a_new_epoch_with_other_partition_counts(
    mine: Pipeline, partitions: int
) -> None:
    with mine.running(*ALL):
        submit(mine, 30)
        wait_until(lambda: states(mine.database_url) == {"succeeded": 30}, "the first epoch works", 60)
        said = run_cli(mine, "epoch", "new", "--dry-run", code=1)
        assert "services running in group" in said.stdout
    run_cli(mine, "epoch", "new", "--partitions", str(partitions), "--yes", "--wait", "60")
    with pytest.raises(EpochError, match="PENSTOCK_PARTITIONS"):
        asyncio.run(require_epoch(mine.kafka, mine.routes))
    other = replace(mine, routes=replace(mine.routes, partitions=partitions))
    epoch = asyncio.run(require_epoch(mine.kafka, other.routes))
    assert epoch.partitions == partitions
    assert epoch.before == (mine.epoch.epoch,)
    # Topics that go on keep what they have.
    assert epoch.topics[mine.routes.jobs].partitions == max(2, partitions)
    with other.running(*ALL):
        submit(other, 30, partitions=partitions)
        wait_until(lambda: states(mine.database_url) == {"succeeded": 60}, "the next works", 60)
    with psycopg.connect(mine.database_url) as connection:
        epochs = connection.execute("SELECT origin_epoch, count(*) FROM jobs GROUP BY 1").fetchall()
    assert sorted(count for _, count in epochs) == [30, 30]


def test_what_is_still_open_or_unread_is_named_and_nothing_is_changed(mine: Pipeline) -> None:
    with mine.running("ingest", "scheduler", "prioritizer", "materializer"):
        submit(mine, 3)
        submit(mine, 2, run_at=datetime.now(UTC) + timedelta(hours=1))
        wait_until(lambda: sum(states(mine.database_url).values()) == 5, "all are known", 60)
        # The table hears of a job before it stands where it waits.
        wait_until(lambda: len(mine.read(*mine.routes.executions("default"))) == 3, "3 wait to be run", 60)
        wait_until(lambda: len(mine.read(*mine.routes.delays)) == 2, "2 wait for their time", 60)
    submit(mine, 4)
    said = run_cli(mine, "epoch", "new", "--yes", code=1)
    assert f"3 records in {mine.routes.execution('default', 0)[:-1]}" in said.stdout
    assert "2 records in" in said.stdout
    assert "jobs.delay" in said.stdout
    assert f"4 records in {mine.routes.jobs}, not read by" in said.stdout
    assert "start the services until all is done" in said.stderr
    assert asyncio.run(require_epoch(mine.kafka, mine.routes)) == mine.epoch


def test_jobs_claimed_and_never_closed_keep_the_epoch(mine: Pipeline) -> None:
    others = ("ingest", "scheduler", "prioritizer", "dlq_handler", "materializer")
    with mine.running(*others), mine.start("executor") as program:
        [job] = submit(mine, 1, run_s=600)
        wait_until(lambda: states(mine.database_url) == {"running": 1}, "it runs", 60)
        program.process.kill()
    said = run_cli(mine, "epoch", "new", "--yes", code=1).stdout
    assert f"1 open jobs in the ledger ({job} claimed)" in said
    assert "live executors by their heartbeats" in said


def test_jobs_that_wait_at_a_gate_keep_the_epoch_when_nothing_else_does(mine: Pipeline) -> None:
    with mine.running(*ALL, PENSTOCK_GATES_SNAPSHOT_EVERY="1", PENSTOCK_GATES_SNAPSHOT_NOT_BEFORE_S="0.5"):
        [waits] = submit(mine, 1, workflow_id="w", depends_on=[str(uuid.uuid4())])
        submit(mine, 3, ordering_key="k")
        wait_until(lambda: states(mine.database_url) == {"waiting": 1, "succeeded": 3}, "one waits", 60)
    wait_until(lambda: left(mine) == [("gated jobs", 1, [waits])], "nothing else is under way", 90)
    said = run_cli(mine, "epoch", "new", "--yes", code=1)
    assert f"1 gated jobs not ended ({waits})" in said.stdout
    assert asyncio.run(require_epoch(mine.kafka, mine.routes)) == mine.epoch
    with mine.running(*ALL):
        run_cli(mine, "cancel", waits)
        wait_until(lambda: states(mine.database_url) == {"cancelled": 1, "succeeded": 3}, "it is over", 60)
    wait_until(lambda: drained(mine), "it is drained", 90)


class CrashError(Exception):
    """Stands for a crash after a step."""


def interrupting(after: int) -> Callable[[str], None]:
    steps: list[str] = []

    def report(text: str) -> None:
        steps.append(text)
        if len(steps) == after:
            raise CrashError(text)

    return report


@pytest.mark.parametrize("after", [0, 1, 2, 3, 4])
def test_a_new_epoch_that_was_interrupted_is_refused_and_completed_by_the_next_try(
    mine: Pipeline, after: int
) -> None:
    async def begin_and_fail() -> None:
        making = await begin(mine.kafka, mine.routes, mine.epoch, 3)
        if after:
            with pytest.raises(CrashError):
                await finish(mine.kafka, mine.routes, making, 1, interrupting(after))

    asyncio.run(begin_and_fail())
    assert "is half made" in refusal(mine)
    with pytest.raises(EpochError, match="half made"):
        asyncio.run(prepare_topics(mine.kafka, mine.routes, 1))
    run_cli(mine, "epoch", "new", "--yes")
    routes = replace(mine.routes, partitions=3)
    epoch = asyncio.run(require_epoch(mine.kafka, routes))
    kept = {spec.name for spec in routes.specs() if spec.outlives_epoch}
    single = (routes.control, routes.executors, routes.models, routes.signatures, routes.desk)
    own = dict.fromkeys(single, 1) | {routes.schedules: SCHEDULE_PARTITIONS}
    for name, mark in epoch.topics.items():
        assert (mark.id == mine.epoch.topics[name].id) == (name in kept)
        assert mark.partitions == own.get(name, 3)


def test_jobs_that_come_while_the_epoch_changes_are_run_in_the_new_one(mine: Pipeline) -> None:
    with mine.running(*ALL):
        submit(mine, 10)
        wait_until(lambda: states(mine.database_url) == {"succeeded": 10}, "they ended", 60)
    wait_until(lambda: drained(mine), "it is drained", 90)
    making = asyncio.run(begin(mine.kafka, mine.routes, mine.epoch, 2))
    submit(mine, 7)
    asyncio.run(finish(mine.kafka, mine.routes, making, 1, lambda _: None))
    submit(mine, 7)
    with mine.running(*ALL):
        wait_until(lambda: states(mine.database_url) == {"succeeded": 24}, "none is lost or run again", 60)
    offsets = asyncio.run(committed_of(mine.kafka, [mine.routes.group("ingest")]))
    assert sum(offsets[mine.routes.group("ingest")].values()) == 24


def test_a_lost_jobs_topic_can_be_given_up(mine: Pipeline) -> None:
    with mine.running(*ALL):
        submit(mine, 10)
        wait_until(lambda: states(mine.database_url) == {"succeeded": 10}, "they ended", 60)
    asyncio.run(recreate(mine, mine.routes.jobs))
    wait_until(lambda: not live_executors(mine), "leases are over", 90)
    submit(mine, 3)
    run_cli(mine, "epoch", "new", "--yes", code=1)
    run_cli(mine, "epoch", "new", "--yes", "--abandon")
    with mine.running(*ALL):
        wait_until(lambda: states(mine.database_url) == {"succeeded": 13}, "the three run", 60)


def test_a_lost_control_topic_is_not_taken_for_a_fresh_start(mine: Pipeline) -> None:
    with mine.running("ingest", "scheduler"):
        submit(mine, 3)
        mine.wait_for(mine.routes.ledger, 3)
    asyncio.run(recreate(mine, mine.routes.control))
    with pytest.raises(EpochError, match="holds records, but no epoch"):
        asyncio.run(prepare_topics(mine.kafka, mine.routes, 1))
    run_cli(mine, "epoch", "new", "--yes", code=1)
    run_cli(mine, "epoch", "new", "--yes", "--abandon")
    epoch = asyncio.run(require_epoch(mine.kafka, mine.routes))
    assert epoch.epoch != mine.epoch.epoch


def test_epoch_show_names_what_is_wrong(mine: Pipeline) -> None:
    shown = json.loads(run_cli(mine, "epoch", "show", "--json").stdout)
    assert (shown["epoch"], shown["state"], shown["problems"]) == (mine.epoch.epoch, "made", [])
    asyncio.run(recreate(mine, mine.routes.dlq))
    text = run_cli(mine, "epoch", "show").stdout
    assert f"topic {mine.routes.dlq} was deleted and created again" in text


def test_checking_all_topics_takes_hardly_longer_than_checking_one(mine: Pipeline) -> None:
    async def measure() -> tuple[float, float]:
        names = [spec.name for spec in mine.routes.specs()]
        taken: dict[int, list[float]] = {1: [], len(names): []}
        for _ in range(15):
            for count, seconds in taken.items():
                began_s = time.monotonic()
                await describe_topics(mine.kafka, names[:count])
                seconds.append(time.monotonic() - began_s)
        one, every = (sorted(seconds)[len(seconds) // 2] for seconds in taken.values())
        return one, every

    one_s, every_s = asyncio.run(measure())
    # Two round trips and a connection, whatever their number; one by one it would be some 30 times as long.
    assert every_s < 6 * one_s, (one_s, every_s)
