"""``penstock.env``."""

import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.embedded.env_file import EnvFileError, pipeline_settings, read_env, write_env

NAMES = st.from_regex(r"\APENSTOCK_[A-Z_]{1,20}\Z")
VALUES = st.text(st.characters(min_codepoint=32, exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=40)


@given(values=st.dictionaries(NAMES, VALUES, max_size=5))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, str]
) -> None:
    path = tmp_path_factory.mktemp("env") / "penstock.env"
    write_env(path, values)
    assert read_env(path) == values


def test_a_shell_reads_the_same_value(tmp_path: Path) -> None:
    path = tmp_path / "penstock.env"
    value = 'postgresql://a:p$w\'d "x"@h/db'
    write_env(path, {"PENSTOCK_DATABASE_URL": value})
    script = f'. {path}; printf %s "$PENSTOCK_DATABASE_URL"'
    assert subprocess.run(("sh", "-c", script), check=True, capture_output=True, text=True).stdout == value


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "penstock.env"
    write_env(path, {})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_comments_and_blank_lines_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "penstock.env"
    path.write_text("# a comment\n\nPENSTOCK_PARTITIONS=8\n")
    assert read_env(path) == {"PENSTOCK_PARTITIONS": "8"}


@pytest.mark.parametrize("line", ["no equals sign", "KEY=two words", "KEY='open quote"])
def test_a_line_that_is_no_setting_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "penstock.env"
    path.write_text(f"A=1\n{line}\n")
    with pytest.raises(EnvFileError, match="line 2"):
        read_env(path)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvFileError, match=r"penstock\.env"):
        read_env(tmp_path / "penstock.env")


def test_settings_of_one_process_and_foreign_ones_are_not_handed_on() -> None:
    environment = {
        "PATH": "/bin",
        "PENSTOCK_POOLS": "a,b",
        "PENSTOCK_INSTANCE": "executor-0",
        "PENSTOCK_METRICS_PORT": "9",
    }
    assert pipeline_settings(environment) == {"PENSTOCK_POOLS": "a,b"}
