"""The data directory."""

import stat
from pathlib import Path

import pytest

from adapters.embedded.home import Home, HomeInUseError, exclusive, write_atomically


def test_a_second_holder_is_refused_with_the_command_that_helps(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with (
        exclusive(home),
        pytest.raises(HomeInUseError, match=f"penstock down --data {tmp_path}"),
        exclusive(home),
    ):
        pass


def test_a_directory_can_be_held_again_after_it_was_let_go(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with exclusive(home):
        pass
    with exclusive(home):
        pass


def test_a_file_is_replaced_with_the_mode_asked_for_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o644)
    write_atomically(path, b"new", 0o600)
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
