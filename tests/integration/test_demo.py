"""The demo as a person starts it, on a pipeline of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.make_trace_samples import GOOGLE_SAMPLE, SWF_SAMPLE

TIMEOUT_S = 300

FIGURES = {
    "submitted",
    "succeeded",
    "dead",
    "rejected",
    "repeated",
    "duplicate_runs",
    "table_equals_log",
    "wait_p50_ms",
    "wait_p99_ms",
    "end_to_end_p50_ms",
    "end_to_end_p99_ms",
    "jobs_per_second",
    "seconds",
    "verified",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One data directory for all runs: each must judge its own jobs only."""
    return tmp_path_factory.mktemp("demo")


def demo(data: Path, *options: str) -> subprocess.CompletedProcess[str]:
    own = {"PENSTOCK_KAFKA_BOOTSTRAP", "PENSTOCK_DATABASE_URL"}
    environment = {key: value for key, value in os.environ.items() if key not in own}
    return subprocess.run(
        [sys.executable, "-m", "penstock", "demo", "--data", str(data), "--json", *options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize(
    ("options", "rejected"),
    [
        (("--jobs", "60", "--order-seconds", "1"), 1),
        (("--trace", str(GOOGLE_SAMPLE), "--jobs", "40", "--speed", "100"), 0),
        (("--trace", str(SWF_SAMPLE), "--jobs", "40", "--skip", "10", "--speed", "20000"), 0),
    ],
    ids=["generated", "google", "swf"],
)
def test_the_verification_of_a_small_run_holds(data: Path, options: tuple[str, ...], rejected: int) -> None:
    run = demo(data, *options)
    assert run.returncode == 0, run.stderr
    (last,) = run.stdout.splitlines()
    said = json.loads(last)
    assert said.keys() >= FIGURES
    assert said["verified"]
    assert said["submitted"] == int(options[options.index("--jobs") + 1])
    assert said["succeeded"] + said["dead"] == said["submitted"]
    assert said["rejected"] == rejected
    assert said["duplicate_runs"] == 0
    assert said["table_equals_log"]
    orders = {one["order"]: one for one in said["orders"]}
    assert orders.keys() >= ({"arrival", "rule", "mean", "drift"} if "--order-seconds" in options else set())
    assert all(one["jobs"] > 50 and one["mean_s"] <= one["max_s"] for one in orders.values())
    if orders:
        assert set(orders["rule"]["ordered_by"]) == {"rule"}
        assert "rule" not in orders["mean"]["ordered_by"]


def test_a_trace_that_cannot_be_read_is_named_before_anything_starts(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("job,submit_ms,sched_ms,end_ms,end,user\n1,x,2,3,FINISH,4\n")
    run = demo(tmp_path / "data", "--trace", str(trace))
    assert run.returncode == 1
    assert "line 2, field submit_ms: 'x' is not a whole number" in run.stderr
    assert not (tmp_path / "data").exists()
