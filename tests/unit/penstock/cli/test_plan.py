"""``penstock plan``: what it prints, its JSON, own costs, and errors with a remedy."""

import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from benchmarks.results import CostPoint, Machine, Results, Throughput, write_json
from core.planning.costs import PIPELINE
from penstock.cli.main import build

USUAL = ("--rate", "50000", "--run-time", "0.2", "--retention", "7d")
MACHINE = Machine(2, "a processor", "6.1", "3.11", "abc1234", 0.5, "2030-01-01T00:00:00Z")


def asked(*arguments: str) -> Result:
    return CliRunner().invoke(build("plan"), ["plan", *arguments])


def backlog(us: float) -> Throughput:
    spent = {f"{name}-0" if name in {"ingest", "executor"} else name: us for name in PIPELINE}
    return Throughput(jobs=100, jobs_per_s=3400.0, submitted_per_s=9000.0, cpu_us_per_job=spent)


def cost_point(us: float, instances: int = 1) -> CostPoint:
    return CostPoint(
        partitions=4,
        instances=instances,
        payload_bytes=0,
        attempts_per_job=1,
        rounds=(backlog(us), backlog(us * 1.2)),
        records_per_job={"jobs": 1.0},
        log_bytes_per_job={"jobs.events": 1500.0},
        table_bytes_per_job={"jobs": 900.0},
        wal_bytes_per_job=2500.0,
    )


@pytest.mark.parametrize(
    "text",
    [
        "partitions",
        "materializer",
        "postgres: cores",
        "write-ahead log",
        "PENSTOCK_PARTITIONS=",
        "the most used first",
        "beyond what was measured",
        "Denning and Buzen 1978",
        "Little 1961",
        "Gunther 1993",
        "commit 6f83440",
    ],
)
def test_the_answer_says_everything(text: str) -> None:
    result = asked(*USUAL)
    assert result.exit_code == 0
    assert text in result.output


def test_the_json_says_the_same() -> None:
    found = json.loads(asked(*USUAL, "--json").output)
    assert found["demand"]["rate_per_s"] == 50_000
    assert found["partitions"]["typical"] == int(found["settings"]["PENSTOCK_PARTITIONS"])
    assert found["services"]["materializer"]["instances"]["low"] >= 1
    assert found["executors"]["busy_slots"] == pytest.approx(50_000 * 0.205)
    assert found["limits"][0]["share"] >= found["limits"][-1]["share"]
    assert found["costs"]["provenance"]["commit"].startswith("6f83440")
    assert found["extrapolated"]


def test_own_costs_replace_the_shipped_ones(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    file.write_bytes(write_json(Results(MACHINE, throughput=(backlog(1000.0), backlog(1100.0)))))
    found = json.loads(asked(*USUAL, "--costs", str(file), "--json").output)
    assert found["services"]["ingest"]["us_a_job"]["typical"] > 1000
    assert found["costs"]["provenance"]["commit"] == "abc1234"
    assert "bytes in log and tables" in found["costs"]["borrowed"]


def test_own_costs_of_several_instances_give_scalability(tmp_path: Path) -> None:
    file = tmp_path / "costs.json"
    file.write_bytes(write_json(Results(MACHINE, costs=(cost_point(100.0), cost_point(120.0, instances=2)))))
    found = json.loads(asked(*USUAL, "--costs", str(file), "--json").output)
    assert found["scaling"]["contention"] + found["scaling"]["coherency"] > 0
    assert found["postgres"]["wal_bytes_per_s"] == 50_000 * 2500
    assert "how instances scale" not in found["costs"]["borrowed"]
    said = asked(*USUAL, "--costs", str(file)).output
    assert "scalability fitted up to 2 instances" in said


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"nothing", "make bench"),
        (msgspec.json.encode({"machine": 1}), "make bench"),
        (write_json(Results(MACHINE)), "no backlog of plain jobs"),
    ],
)
def test_a_file_that_says_no_costs_is_refused(tmp_path: Path, content: bytes, text: str) -> None:
    file = tmp_path / "bench.json"
    file.write_bytes(content)
    result = asked(*USUAL, "--costs", str(file))
    assert result.exit_code == 2
    assert text in result.output
    assert "bench.json" in result.output


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--rate", "0"), "--rate is 0; accepted is"),
        (("--rate", "nan"), "--rate is nan"),
        (("--utilization", "1"), "--utilization is 1"),
        (("--failure-share", "0.99"), "--failure-share is 0.99"),
        (("--slots", "9000"), "--slots is 9000"),
        (("--run-time", "-1"), "--run-time is -1"),
        (("--retention", "7"), "write 30s, 5m, 12h, 30d"),
        (("--costs", "no-such-file"), "no-such-file"),
    ],
)
def test_bad_input_is_refused_with_the_remedy(arguments: tuple[str, str], text: str) -> None:
    result = asked(*USUAL, *arguments)
    assert result.exit_code == 2
    assert text in " ".join(result.output.replace("│", " ").split())


def test_the_help_has_an_example() -> None:
    assert "penstock plan --rate 50000" in " ".join(asked("--help").output.replace("│", " ").split())
