"""What was measured is shown in full and written to a file a program can read."""

import io
import json

import pytest
from rich.console import Console

from benchmarks.latency import quantiles
from benchmarks.pages import html_page, on_terminal
from benchmarks.plots import draw
from benchmarks.report import heading, tables
from benchmarks.results import (
    BatchCost,
    Burst,
    CostPoint,
    GatedThroughput,
    GrowthPoint,
    HandlerCost,
    Idle,
    Latency,
    LogCost,
    Machine,
    OthersBeside,
    Quantiles,
    Results,
    StageCost,
    TableCost,
    Throughput,
    Wheel,
    write_json,
)
from benchmarks.throughput import middle

MACHINE = Machine(
    cores=2, processor="a processor", kernel="6.1", python="3.11", commit="abc1234+", load_1min=0.5
)


def throughput(jobs_per_s: float, **used_us: float) -> Throughput:
    return Throughput(jobs=100, jobs_per_s=jobs_per_s, submitted_per_s=9000.0, cpu_us_per_job=used_us)


RESULTS = Results(
    machine=MACHINE,
    stages=(StageCost("ingest: decide", "job", 12.25, 0.125, 98.0),),
    log=(LogCost("append, 500 a call", 3.25, 9.5, 0.0331),),
    table=(TableCost("within a batch", 21.5, 33.5, 66.25, 0.21),),
    idle=Idle(10.0, {"kafka": 5.0, "postgres": 1.5}, {"kafka": 300.0, "postgres": 41.0}),
    latency=(Latency(50.0, 1000, {"terminal row": Quantiles(27.5, 69.25, 78.75, 80.0)}, {"kafka": 44.0}),),
    throughput=(throughput(3400.0, kafka=60.0, workers=20.0),),
    records=(throughput(3456.0, kafka=60.0),),
    growth=(
        GrowthPoint("rows", 10_000, (throughput(3000.0, kafka=50.0),)),
        GrowthPoint("rows", 10_000_000, (throughput(2000.0, kafka=59.0),)),
    ),
    wheel=Wheel(
        1_000_000,
        2100.0,
        OthersBeside(
            (2000.0, 1000.0, 2000.0),
            (800.0, 810.0, 790.0),
            {"started": Quantiles(20.0, 40.0, 80.0, 90.0)},
            {},
            {"scheduler-0": 50.0},
        ),
        OthersBeside(
            (1500.0,), (888.0,), {"started": Quantiles(30.0, 44.0, 80.0, 90.0)}, {}, {"scheduler-0": 58.0}
        ),
        Burst(100_000, 60.0, 21.0, 0, Quantiles(120.0, 249.0, 250.0, 251.0), 7.25, {"scheduler-0": 61.0}),
    ),
    costs=(
        CostPoint(
            16,
            2,
            1000,
            1,
            (throughput(500.0, kafka=61.0),),
            {"jobs": 1.0},
            {"jobs": 40.0, "jobs.events": 1387.0},
            {"jobs": 956.0},
            2558.0,
        ),
    ),
    handlers=(HandlerCost("bench.plain", 2000, Quantiles(0.19, 0.87, 1.0, 2.0), 23.4),),
    batches=(BatchCost(512, 64, 3011.0, 1999.0, 1777.0, 888.0),),
    gates=(GatedThroughput(25, throughput(1234.0, scheduler=77.0)),),
)


def shown(results: Results) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(heading(results.machine))
    for titled in tables(results):
        console.print(on_terminal(titled))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "abc1234+",
        "ingest: decide",
        "12.25",
        "append, 500 a call",
        "9.5",
        "6.5",
        "at 50/s",
        "69.2",
        "3400",
        "75",
        "0.75",
        "1.10",
        "1.16",
        "1.11",
        "7.25 hops a job",
        "249",
        "61.0",
        "25 keys: 1234 jobs/s",
        "16 x 2",
        "1427",
        "2558",
        "3011",
        "0.87",
        "341",
        "33.5",
        "78.8",
        "3456 jobs/s",
        "10,000,000 rows",
        "1.18",
        "77",
    ],
)
def test_every_part_is_shown(text: str) -> None:
    assert text in shown(RESULTS)


def test_the_page_has_every_table_and_a_plot_of_what_was_measured() -> None:
    plots = draw(RESULTS)
    assert list(plots) == ["CPU of a job by process", "latency", "growth", "stages"]
    assert all(png.startswith(b"\x89PNG") for png in plots.values())
    page = html_page("x", heading(MACHINE), plots, tables(RESULTS))
    assert page.count("<img") == 4
    assert all(title.split(":")[0] in page for title, _ in tables(RESULTS))


def test_parts_that_were_not_measured_are_left_out() -> None:
    assert len(shown(Results(MACHINE)).splitlines()) == 1


def test_the_file_holds_every_figure() -> None:
    said = json.loads(write_json(RESULTS))
    assert said["machine"]["commit"] == "abc1234+"
    assert said["stages"][0]["us"] == 12.25
    assert said["latency"][0]["until"]["terminal row"] == {
        "p50": 27.5,
        "p99": 69.25,
        "p999": 78.75,
        "max": 80.0,
    }
    assert said["throughput"][0]["cpu_us_per_job"]["workers"] == 20.0


def test_quantiles_are_values_that_occurred() -> None:
    assert quantiles([float(value) for value in range(2000, 0, -1)]) == Quantiles(
        1000.0, 1980.0, 1998.0, 2000.0
    )
    assert quantiles([7.0]) == Quantiles(7.0, 7.0, 7.0, 7.0)


def test_of_several_rounds_the_median_of_each_figure_counts() -> None:
    rounds = (throughput(10.0, kafka=5.0), throughput(30.0, kafka=1.0), throughput(20.0, kafka=9.0))
    assert middle(rounds) == throughput(20.0, kafka=5.0)
