import asyncio
import io
from collections.abc import Callable
from typing import cast

import psycopg
import pytest
from rich.console import Console

from adapters.embedded.state import Step
from penstock.demo.checks import check_all
from penstock.demo.report import report_of, summary
from penstock.demo.screen import Screen
from penstock.demo.submit import Submitter
from penstock.demo.table import Counts, RunTable, counts_of
from penstock.demo.view import WIDTH_MAX, Snapshot, line, panel
from penstock.demo.watch import WatchEnd, Watcher, sum_of
from tests.support.demo_evidence import CLEAN, PLANTED

BUSY = Snapshot(
    elapsed_s=31.0,
    planned=20_180,
    submitted=18_290,
    jobs=20_000,
    counts=Counts(
        states=dict.fromkeys(("accepted", "waiting", "queued", "running", "retrying", "held"), 12345)
        | {"succeeded": 16_680, "dead": 200},
        buckets={0: 3, 1: 12_000, 4: 1, 7: 999},
        retries=630,
        wait_p50_s=0.245,
        wait_p99_s=1.7,
    ),
    per_s=59.4,
    slots_busy=64,
    slots=64,
    troubles=("Postgres is away, reconnecting; jobs keep flowing",),
)


def drawn(what: object, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(what)
    return cast(io.StringIO, console.file).getvalue()


def test_the_panel_fits_eighty_columns_and_shows_everything() -> None:
    text = drawn(panel(BUSY))
    assert max(map(len, text.splitlines())) <= WIDTH_MAX
    for said in ("18290 of 20180", "succeeded 16680", "p50 245 ms, p99 1.7 s", "retries 630", "64/64"):
        assert said in " ".join(text.replace("│", " ").split())
    assert "reconnecting" in text


def test_the_panel_can_be_drawn_before_anything_is_known() -> None:
    text = drawn(panel(Snapshot(elapsed_s=0, planned=0, submitted=0, jobs=0)))
    assert "p50 -, p99 -" in text


def test_a_plain_line_says_the_same() -> None:
    text = line(BUSY)
    assert "\n" not in text
    assert "sent 18290/20180" in text
    assert "reconnecting" in text


def test_without_a_terminal_lines_come_now_and_then() -> None:
    console = Console(file=io.StringIO(), width=80)
    screen = Screen(console)
    with screen.live():
        screen.show(BUSY)
        screen.show(BUSY)
    assert cast(io.StringIO, console.file).getvalue().count("sent 18290") == 1


def test_steps_show_their_problem() -> None:
    console = Console(file=io.StringIO(), width=80)
    Screen(console).step(Step("Kafka", 1.0, problem="[no] port"))
    assert "Kafka: [no] port" in cast(io.StringIO, console.file).getvalue()


@pytest.mark.parametrize("name", ["clean", *PLANTED])
def test_the_summary_says_whether_it_held_and_fits_eighty_columns(name: str) -> None:
    evidence = CLEAN if name == "clean" else PLANTED[name][1](CLEAN)
    findings = check_all(evidence)
    text = drawn(summary(report_of(evidence, findings), evidence, findings, ["penstock list"]))
    assert ("Verification held." in text) == (name == "clean")
    assert ("Verification FAILED." in text) == (name != "clean")
    assert max(map(len, text.splitlines())) <= 80
    assert "penstock list" in text


def test_the_summary_names_the_dead_with_their_reason() -> None:
    findings = check_all(CLEAN)
    text = drawn(summary(report_of(CLEAN, findings), CLEAN, findings, []))
    assert "no such address" in text


def test_groups_of_the_table_are_added_up() -> None:
    groups = [
        {"state": "queued", "bucket": 1, "jobs": 3, "retries": 1, "changed_s": 5},
        {"state": "queued", "bucket": 2, "jobs": 4, "retries": 0, "changed_s": 9},
        {"state": "dead", "bucket": 2, "jobs": 1, "retries": 4, "changed_s": None},
    ]
    counts = counts_of(groups, (0.5, None))
    assert counts == Counts({"queued": 7, "dead": 1}, {1: 3, 2: 4}, 5, 9.0, 0.5, None)
    assert (counts.seen, counts.terminal) == (8, 1)


def test_busy_slots_are_added_over_pools() -> None:
    page = (
        "# HELP penstock_executor_slots_busy Dispatches running now.\n"
        'penstock_executor_slots_busy{pool="a"} 3.0\n'
        'penstock_executor_slots_busy{pool="b"} 4.0\n'
        "penstock_lease_lapses_total 9.0\n"
    )
    assert sum_of(page, "penstock_executor_slots_busy") == 7


class FakeTable:
    """Answers with the next of some counts, or raises it; the last one for ever."""

    def __init__(self, *answers: Counts | Exception) -> None:
        self.answers = list(answers)

    async def counts(self) -> Counts:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class FakeSubmitter:
    submitted = 3

    def __init__(self, held_s: float) -> None:
        self.held_s = held_s

    def held_up_s(self) -> float:
        return self.held_s


async def nothing() -> None:
    return


def watcher(
    table: FakeTable, show: Callable[[Snapshot], None], *, held_s: float = 0.0, stall_s: float = 60.0
) -> Watcher:
    return Watcher(
        cast(RunTable, table),
        cast(Submitter, FakeSubmitter(held_s)),
        show,
        planned=3,
        jobs=2,
        slots=4,
        stall_s=stall_s,
        metrics_ports={},
    )


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.demo.watch.LOOK_EVERY_S", 0.01)


async def test_the_watch_ends_when_every_job_has(fast: None) -> None:
    shown: list[Snapshot] = []
    table = FakeTable(Counts({"running": 2}), Counts({"succeeded": 1, "dead": 1}))
    end = await watcher(table, shown.append).until_ended(asyncio.create_task(nothing()))
    assert end is WatchEnd.DONE
    assert [snapshot.counts.terminal for snapshot in shown] == [0, 2]


async def test_an_extra_job_is_waited_for_too() -> None:
    table = FakeTable(Counts({"succeeded": 2, "running": 1}), Counts({"succeeded": 3}))
    shown: list[Snapshot] = []
    await watcher(table, shown.append).until_ended(asyncio.create_task(nothing()))
    assert len(shown) == 2


async def test_the_watch_lives_through_an_outage_of_postgres_and_says_so() -> None:
    shown: list[Snapshot] = []
    table = FakeTable(Counts({"running": 2}), psycopg.OperationalError("gone"), Counts({"succeeded": 2}))
    end = await watcher(table, shown.append).until_ended(asyncio.create_task(nothing()))
    assert end is WatchEnd.DONE
    assert "Postgres is away" in shown[1].troubles[0]
    assert shown[1].counts.states == {"running": 2}


async def test_a_batch_that_waits_for_kafka_is_shown() -> None:
    shown: list[Snapshot] = []
    table = FakeTable(Counts({"succeeded": 2}))
    watching = watcher(table, shown.append, held_s=7.0)
    await watching.until_ended(asyncio.create_task(nothing()))
    assert "Kafka has not answered for 7 s" in shown[0].troubles[0]


async def test_a_run_in_which_nothing_moves_is_given_up() -> None:
    table = FakeTable(Counts({"running": 2}))
    end = await watcher(table, lambda _: None, stall_s=0.1).until_ended(asyncio.create_task(nothing()))
    assert end is WatchEnd.STALLED


async def test_what_stops_the_submitter_stops_the_watch() -> None:
    async def broken() -> None:
        raise ValueError("no topic")

    with pytest.raises(ValueError, match="no topic"):
        await watcher(FakeTable(Counts()), lambda _: None).until_ended(asyncio.create_task(broken()))
