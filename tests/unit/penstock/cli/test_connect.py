"""Where the command line looks for the pipeline."""

from pathlib import Path

import pytest

from adapters.embedded.env_file import write_env
from penstock.cli.connect import NoPipelineError, connections

FILE = {
    "PENSTOCK_KAFKA_BOOTSTRAP": "file:1",
    "PENSTOCK_DATABASE_URL": "postgresql://f/d",
    "PENSTOCK_POOLS": "a,b",
}
ENVIRONMENT = {"PENSTOCK_KAFKA_BOOTSTRAP": "env:1", "PENSTOCK_TOPIC_PREFIX": "x."}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    directory = tmp_path / ".penstock"
    directory.mkdir()
    write_env(directory / "penstock.env", FILE)
    return directory


def test_the_directory_of_this_place_is_the_default(data: Path) -> None:
    found = connections(None, {})
    assert found.kafka.bootstrap == "file:1"
    assert found.database.conninfo == "postgresql://f/d"
    assert found.routes.pools == ("a", "b")


def test_the_environment_goes_before_the_default_directory(data: Path) -> None:
    found = connections(None, ENVIRONMENT)
    assert found.kafka.bootstrap == "env:1"
    assert found.database.conninfo == "postgresql://f/d"
    assert found.names.topic_prefix == "x."


def test_a_directory_that_was_asked_for_goes_before_the_environment(data: Path) -> None:
    assert connections(data, ENVIRONMENT).kafka.bootstrap == "file:1"


def test_the_environment_alone_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert connections(None, ENVIRONMENT).kafka.bootstrap == "env:1"


def test_without_any_of_them_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoPipelineError, match="penstock up"):
        connections(None, {})
    with pytest.raises(NoPipelineError, match="penstock up --data other"):
        connections(Path("other"), ENVIRONMENT)
