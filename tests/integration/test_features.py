"""Jobs run and become features; a stream makes of a history what a batch makes of it, bit for bit."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from core.learning.aggregates import restored
from core.learning.events import Key, Kind, Submitted
from core.log import NewRecord
from penstock.demo.traces import read_trace
from penstock.identity import Origin
from schemas.outcomes import Report, Subject, outcome_records
from tests.support.feature_topics import expected, published
from tests.support.outcome_replay import batch_images, repeated, reports_of, told_by_seconds
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import wait_until
from tests.support.servers import Servers

APP = """
from penstock import PermanentError, task

@task("good")
def good(ctx, payload):
    return None

@task("bad")
def bad(ctx, payload):
    raise PermanentError("no")
"""
GOOD, BAD = 30, 10
COUNTS = [(40, 30, 10)] * 2 + [(30, 30, 0)] * 2 + [(10, 0, 10)] * 2
"""Submitted, well and failed: of everything and of the tenant, then of each type and of the tenant's."""
BURST = 40_000
TRACE = Path(__file__).parents[1] / "data" / "google2011_sample.csv"


@pytest.fixture
def mine(servers: Servers, topic_prefix: str, tmp_path: Path) -> Iterator[Pipeline]:
    (tmp_path / "tasks_learned.py").write_text(APP)
    with pipeline(servers, topic_prefix, tmp_path) as mine:
        yield mine


def found(mine: Pipeline) -> tuple[dict[Key, bytes], dict[int, int]]:
    return published(mine.read(mine.routes.features))


def counted(images: dict[Key, bytes]) -> dict[Key, tuple[int, int, int]]:
    states = {key: restored(image) for key, image in images.items()}
    return {key: (state.submitted, state.ok, state.failed) for key, state in states.items()}


def wanted(mine: Pipeline) -> tuple[dict[Key, bytes], dict[int, int]]:
    return expected(mine.read(mine.routes.outcomes), mine.routes)


@pytest.mark.parametrize("failpoints", ["", "prioritizer.worked:block:s=4"], ids=["in time", "told late"])
def test_what_ran_and_what_failed_becomes_features(mine: Pipeline, failpoints: str) -> None:
    """What is told late counts in the first second that is open, so the log alone says what must be known."""
    jobs = [json.dumps({"type": "good", "tenant": "acme"}).encode()] * GOOD
    jobs += [json.dumps({"type": "bad", "tenant": "acme"}).encode()] * BAD
    settings = {
        "PENSTOCK_APP": "tasks_learned",
        "PENSTOCK_APP_PATH": str(mine.directory),
        "PENSTOCK_FAILPOINTS": failpoints,
    }

    def is_told_and_known() -> bool:
        known = counted(wanted(mine)[0])
        return sorted(known.values()) == sorted(COUNTS) and found(mine)[0] == wanted(mine)[0]

    with mine.running("ingest", "prioritizer", "executor", "features", **settings):
        mine.append([NewRecord(mine.routes.jobs, number % 2, None, job) for number, job in enumerate(jobs)])
        wait_until(is_told_and_known, "all is told, closed and published", 120)
    kinds = [key.kind for key in found(mine)[0]]
    assert sorted(kinds) == sorted([Kind.EVERYTHING, Kind.TENANT, *[Kind.TYPE, Kind.TENANT_TYPE] * 2])


def test_a_replayed_trace_is_folded_as_in_a_batch_though_the_fold_is_killed_and_reports_repeat(
    mine: Pipeline,
) -> None:
    reports = reports_of(read_trace(TRACE))
    sent = repeated(told_by_seconds(mine.routes, reports), Random(7))
    third = len(sent) // 3
    for part, (points, after) in enumerate((("seconds_closed", 5), ("features_taken", 0), ("", 0))):
        mine.append(sent[part * third : (part + 1) * third if points else None])
        orders = f"features.{points}:kill:after={after}" if points else ""
        # Under one name, as a supervisor starts it: nobody waits for the member that is gone.
        own = {"PENSTOCK_INSTANCE": f"{mine.routes.prefix}features", "PENSTOCK_FAILPOINTS": orders}
        with mine.start("features", f"features-{part}", **own) as features:
            if points:
                features.process.wait(60)
            else:
                wait_until(lambda: found(mine)[1] == wanted(mine)[1], "all is folded", 60)
    known, _ = found(mine)
    assert known == batch_images(reports)
    assert len(known) > 60


def test_a_second_with_tens_of_thousands_of_events_is_folded(mine: Pipeline) -> None:
    """A burst of submissions makes entries of the changelog that no single record may hold."""
    begun_ms = 1_700_000_000_000
    submits = [
        Report(Subject("acme", "good"), Submitted(begun_ms, str(Origin("e" * 8, 0, number)), 1, 50))
        for number in range(BURST)
    ]
    every = range(mine.routes.learning_partitions)
    sent = outcome_records(mine.routes, "x", 1, begun_ms + 900, submits)
    sent += outcome_records(mine.routes, "x", 2, begun_ms + 9_000, [], every)
    later = [Report(Subject("acme", "good"), Submitted(begun_ms + 20_000, "e:0:1", 1, 50))]

    def counts() -> list[int]:
        return [submitted for submitted, _, _ in counted(found(mine)[0]).values()]

    with mine.running("features"):
        mine.append(sent)
        wait_until(lambda: counts() == [BURST] * 4, "all is folded", 90)
        mine.append(outcome_records(mine.routes, "x", 3, begun_ms + 21_000, later))
        mine.append(outcome_records(mine.routes, "x", 4, begun_ms + 30_000, [], every))
        wait_until(lambda: counts() == [BURST + 1] * 4, "it goes on", 60)
