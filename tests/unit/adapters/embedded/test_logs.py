"""Bounded logs."""

import os
from pathlib import Path

from adapters.embedded.logs import bound_log, open_log, tail


def test_a_log_below_its_bound_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("short\n")
    assert not bound_log(path, max_bytes=100)
    assert path.read_text() == "short\n"


def test_a_writer_goes_on_at_the_start_of_a_log_that_was_moved_away(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    descriptor = open_log(path)
    os.write(descriptor, b"before\n" * 20)
    assert bound_log(path, max_bytes=100)
    os.write(descriptor, b"after\n")
    os.close(descriptor)
    assert path.read_bytes() == b"after\n"
    assert (tmp_path / "a.log.1").read_bytes() == b"before\n" * 20


def test_an_absent_log_is_no_error(tmp_path: Path) -> None:
    assert not bound_log(tmp_path / "absent.log")
    assert tail(tmp_path / "absent.log") == ""


def test_the_tail_holds_the_last_lines_of_a_long_log(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("".join(f"line {number}\n" for number in range(100_000)))
    assert tail(path, lines=2) == "line 99998\nline 99999"
