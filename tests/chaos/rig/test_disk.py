import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.rig.command import CommandFailedError
from tests.chaos.rig.disk import Tampering, Tmpfs, Tracer, failing, slow_sync, tampered
from tests.chaos.rig.process import Process, wait_until
from tests.chaos.rig.tools import Tool, why_missing

needs_strace = pytest.mark.skipif(why_missing(Tool.STRACE) is not None, reason="strace")
needs_tmpfs = pytest.mark.skipif(why_missing(Tool.TMPFS) is not None, reason="tmpfs")
pytestmark = pytest.mark.chaos

SYNCING = """
import os, sys, time
chosen, other = (os.open(path, os.O_WRONLY | os.O_CREAT) for path in sys.argv[1:])
while True:
    began_s = time.monotonic()
    for name, one in (("chosen", chosen), ("other", other)):
        try:
            os.write(one, b"x")
            os.fsync(one)
        except OSError as error:
            print(name, error.errno, flush=True)
    print("slow" if time.monotonic() - began_s > 0.2 else "fast", flush=True)
    time.sleep(0.02)
"""


@pytest.fixture
def syncing(tmp_path: Path) -> Iterator[Process]:
    """A program that writes and syncs two files without end, and prints how that went."""
    argv = (sys.executable, "-c", SYNCING, str(tmp_path / "chosen"), str(tmp_path / "other"))
    process = Process(argv, log=tmp_path / "log", env=dict(os.environ))
    process.start()
    wait_until(lambda: process.log.read_text().count("fast") > 3, "some rounds")
    yield process
    process.kill_group()


def wait_for_line(process: Process, word: str) -> None:
    before = len(process.log.read_text())
    wait_until(lambda: word in process.log.read_text()[before:], f"a line {word}")


@needs_strace
def test_writes_to_chosen_files_fail_and_to_others_do_not(syncing: Process, tmp_path: Path) -> None:
    with tampered(failing([tmp_path / "chosen"]), [syncing.pid], tmp_path / "trace") as tracer:
        wait_for_line(syncing, "chosen 5")
        assert tracer.tampered() > 0
    wait_for_line(syncing, "fast")
    assert "other" not in syncing.log.read_text()


@needs_strace
def test_syncs_are_slow_until_the_tracer_lets_go(syncing: Process, tmp_path: Path) -> None:
    with tampered(slow_sync(200), [syncing.pid], tmp_path / "trace") as tracer:
        wait_for_line(syncing, "slow")
        assert tracer.tampered() > 0
    wait_for_line(syncing, "fast")


@needs_strace
def test_some_calls_of_a_kind_can_be_spared(syncing: Process, tmp_path: Path) -> None:
    late = Tampering(("fsync",), "error=EIO:when=5+")
    with tampered(late, [syncing.pid], tmp_path / "trace"):
        wait_for_line(syncing, "chosen 5")


def test_a_tracer_that_outlived_all_it_held_was_attached(syncing: Process, tmp_path: Path) -> None:
    over = Process(("true",), log=tmp_path / "strace")
    Tracer(over, tmp_path / "trace", [syncing.pid]).attach()

    refused = Process(("false",), log=tmp_path / "strace")
    with pytest.raises(CommandFailedError):
        Tracer(refused, tmp_path / "trace", [syncing.pid]).attach()


@needs_tmpfs
def test_a_full_disk_takes_no_byte_until_it_is_freed(tmp_path: Path) -> None:
    disk = Tmpfs(tmp_path / "disk", 2)
    disk.mount()
    try:
        disk.fill()
        assert disk.free_bytes == 0
        with pytest.raises(OSError, match="No space left"):
            (disk.path / "more").write_bytes(b"x")
        disk.free()
        (disk.path / "more").write_bytes(b"x")
    finally:
        disk.unmount()
    assert list(disk.path.iterdir()) == []
