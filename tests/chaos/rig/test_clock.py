"""The wrong clock on real processes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.chaos.rig.clock import WrongClock, build_library
from tests.chaos.rig.tools import Tool, why_missing

pytestmark = pytest.mark.skipif(
    why_missing(Tool.WRONG_CLOCK) is not None, reason=str(why_missing(Tool.WRONG_CLOCK))
)

PROGRAM = """
import datetime, threading, time
def read():
    began_s = time.monotonic()
    threading.Event().wait(0.2)
    waited_s = time.monotonic() - began_s
    boot_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    print(time.time(), datetime.datetime.now().timestamp(), boot_s, waited_s, flush=True)
while True:
    input()
    read()
"""


def test_a_process_reads_the_clock_it_was_given_while_it_runs_and_waits_as_long_as_ever(
    tmp_path: Path,
) -> None:
    build_library()
    clock = WrongClock(tmp_path / "clock")
    clock.set(0.0)
    with subprocess.Popen(
        (sys.executable, "-c", PROGRAM),
        env={**os.environ, **clock.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        for shift_s in (0.0, 7200.0, -7200.0):
            clock.set(shift_s)
            program.stdin.write("\n")
            program.stdin.flush()
            wall_s, datetime_s, boot_s, waited_s = map(float, program.stdout.readline().split())
            assert abs(wall_s - time.time() - shift_s) < 60
            assert abs(datetime_s - wall_s) < 1
            assert abs(boot_s - time.clock_gettime(time.CLOCK_BOOTTIME)) < 60
            assert 0.19 < waited_s < 60
        program.kill()
