"""Where the pipeline is: ``--data DIR``, the environment, or ``.penstock`` of this directory."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import typer
from pydantic_settings import BaseSettings, SettingsConfigDict

from adapters.embedded.env_file import read_env
from adapters.embedded.home import Home
from adapters.kafka.topology import route_map
from adapters.learned.settings import ModelTrust
from adapters.summaries.settings import SummarySettings
from core.priority import PriorityRule
from penstock.client import Client
from penstock.connection import DatabaseConnection, KafkaConnection, PipelineNames
from penstock.errors import PenstockError
from schemas.topics import RouteMap

KAFKA_KEY = "PENSTOCK_KAFKA_BOOTSTRAP"
DATABASE_KEY = "PENSTOCK_DATABASE_URL"
DEFAULT_DATA = Path(".penstock")

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Take the addresses of the pipeline in this directory; without it the environment "
        "counts, then .penstock.",
    ),
]
S = TypeVar("S", bound=BaseSettings)


class NoPipelineError(PenstockError):
    """Nobody said where the pipeline is."""


class _HeadStarts(BaseSettings):
    """``PENSTOCK_HEAD_START_PER_DECADE_S``, which prioritizer and executors have."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_", frozen=True, extra="ignore")

    head_start_per_decade_s: float = PriorityRule().per_decade_s


class Connections(NamedTuple):
    """How to reach one pipeline."""

    kafka: KafkaConnection
    database: DatabaseConnection
    names: PipelineNames
    head_start_per_decade_s: float = PriorityRule().per_decade_s
    """Per factor ten of predicted cost, as the executors have it."""
    model_key: bytes | None = None
    """Signs models; as the prioritizers have it."""
    summaries: SummarySettings = SummarySettings.model_construct()
    """Who writes summaries of dead jobs."""

    @property
    def routes(self) -> RouteMap:
        """The topics of this pipeline."""
        return route_map(self.names)

    def client(self, timeout_s: float = 30.0) -> Client:
        """Make a client of this pipeline."""
        return Client(kafka=self.kafka, database=self.database, names=self.names, timeout_s=timeout_s)


def connections(data: Path | None, environment: Mapping[str, str] = os.environ) -> Connections:
    """Find the pipeline.

    A directory that was asked for goes before the environment, the environment before the
    directory nobody asked for.

    Raises
    ------
    NoPipelineError
        With the remedy.
    adapters.embedded.env_file.EnvFileError
        The file of the directory cannot be read.
    """
    settings = _settings(data, environment)
    return Connections(
        _from(KafkaConnection, settings),
        _from(DatabaseConnection, settings),
        _from(PipelineNames, settings),
        _from(_HeadStarts, settings).head_start_per_decade_s,
        _from(ModelTrust, settings).key_bytes,
        _from(SummarySettings, settings),
    )


def _settings(data: Path | None, environment: Mapping[str, str]) -> dict[str, str]:
    file = Home(DEFAULT_DATA if data is None else data).env_file
    if data is not None:
        if not file.exists():
            raise NoPipelineError(f"there is no {file}: run `penstock up --data {data}`")
        return {**environment, **read_env(file)}
    if file.exists():
        return {**read_env(file), **environment}
    if KAFKA_KEY in environment or DATABASE_KEY in environment:
        return dict(environment)
    raise NoPipelineError(
        f"there is no {file} here and {KAFKA_KEY} is not set: run `penstock up`, name its directory "
        f"with --data, or set {KAFKA_KEY} and {DATABASE_KEY}"
    )


def _from(kind: type[S], settings: Mapping[str, str]) -> S:
    """Fill settings from ``settings`` alone, by the names they have in the environment."""
    prefix = kind.model_config.get("env_prefix", "")
    values = {name: settings.get(f"{prefix}{name}".upper()) for name in kind.model_fields}
    return kind.model_validate({name: value for name, value in values.items() if value is not None})
