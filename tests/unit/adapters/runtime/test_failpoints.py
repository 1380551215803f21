import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.runtime.failpoints import (
    Action,
    FailpointReachedError,
    FailpointSpecificationError,
    Order,
    Trigger,
    arm_from,
    parse,
)
from ports.failpoints import Failpoint, arm, reached
from tests.support.processes import wait_until


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    arm({})


def passings(order: Order, count: int) -> list[int]:
    """At which of so many passings the trigger acts."""
    trigger, acted = Trigger("ingest.polled", order), []
    for number in range(1, count + 1):
        try:
            trigger()
        except FailpointReachedError:
            acted.append(number)
    return acted


def test_a_specification_gives_places_actions_and_options() -> None:
    text = " ingest.appended:kill:after=3 ; executor.task_ended:kill:p=0.01:seed=7;;*.polled:block:s=1.5"
    assert parse(text) == [
        Order("ingest.appended", Action.KILL, after=3),
        Order("executor.task_ended", Action.KILL, p=0.01, seed=7),
        Order("*.polled", Action.BLOCK, s=1.5),
    ]
    assert parse("") == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ingest.apended:kill", "known: ingest.connected, ingest.announced"),
        ("appended:kill", "there is no failpoint 'appended'"),
        ("ingest.appended", "needs one of the actions kill, exit, stop, block, error, say"),
        ("ingest.appended:die", "needs one of the actions"),
        ("ingest.appended:kill:before=3", "known: after, times, p, seed, s"),
        ("ingest.appended:kill:after=soon", "'soon' is no value of 'after'"),
        ("ingest.appended:kill:after=-1", "no value"),
        ("ingest.appended:kill:p=0", "no value"),
        ("ingest.appended:kill:p=1.5", "no value"),
        ("ingest.appended:block:s=inf", "no value"),
    ],
)
def test_a_wrong_specification_is_refused_naming_what_is_known(text: str, says: str) -> None:
    with pytest.raises(FailpointSpecificationError) as refusal:
        parse(f"ingest.polled:say;{text}")
    assert says in str(refusal.value)
    assert repr(text) in str(refusal.value)


def test_a_place_acts_once_after_so_many_passings() -> None:
    assert passings(Order("", Action.ERROR), 5) == [1]
    assert passings(Order("", Action.ERROR, after=3), 9) == [4]
    assert passings(Order("", Action.ERROR, after=1, times=2), 9) == [2, 3]
    assert passings(Order("", Action.ERROR, after=1, times=0), 4) == [2, 3, 4]


def test_draws_repeat_under_one_seed_and_come_as_often_as_asked() -> None:
    order = Order("", Action.ERROR, times=0, p=0.1, seed=7)
    acted = passings(order, 5000)
    assert acted == passings(order, 5000)
    assert 400 < len(acted) < 600
    assert acted != passings(Order("", Action.ERROR, times=0, p=0.1, seed=8), 5000)


def test_a_service_arms_its_own_places_and_the_last_match_holds() -> None:
    arm_from("*.polled:error;ingest.polled:say;scheduler.polled:kill", "ingest")
    reached(Failpoint.POLLED)
    reached(Failpoint.WORKED)
    arm_from("*.polled:error;ingest.polled:say", "prioritizer")
    with pytest.raises(FailpointReachedError, match=r"prioritizer\.polled"):
        reached(Failpoint.POLLED)


def start(specification: str) -> subprocess.Popen[str]:
    """A process that passes ``ingest.polled``, and says so before and after."""
    program = (
        "from adapters.runtime.failpoints import arm_from\n"
        "from ports.failpoints import Failpoint, reached\n"
        f"arm_from({specification!r}, 'ingest')\n"
        "print('before', flush=True)\nreached(Failpoint.POLLED)\nprint('after', flush=True)\n"
    )
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("action", "code"), [("kill", -signal.SIGKILL), ("exit", 1)])
def test_a_process_ends_there_without_another_word(action: str, code: int) -> None:
    with start(f"ingest.polled:{action}") as process:
        assert process.communicate(timeout=30)[0] == "before\n"
    assert process.returncode == code


def test_a_process_stands_still_there_until_it_is_told_to_go_on() -> None:
    with start("ingest.polled:stop") as process:
        try:
            wait_until(lambda: _state(process.pid) == "T", "stopped")
        finally:
            os.kill(process.pid, signal.SIGCONT)
        assert process.communicate(timeout=30)[0] == "before\nafter\n"


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_block_lasts_as_long_as_asked() -> None:
    arm_from("ingest.polled:block:s=0.05", "ingest")
    begun_s = time.monotonic()
    reached(Failpoint.POLLED)
    assert time.monotonic() - begun_s >= 0.05


def test_a_service_refuses_to_start_on_a_wrong_specification() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.ingest"],
        env=os.environ | {"PENSTOCK_FAILPOINTS": "ingest.nowhere:kill"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "ingest cannot go on: PENSTOCK_FAILPOINTS" in done.stderr
    assert "ingest.appended" in done.stderr
    assert "Traceback" not in done.stderr
