"""Whether this machine can run a pipeline, and what to do when it cannot."""

import asyncio
import resource
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from adapters.embedded.jars import local_repository, locked_jars, missing
from adapters.embedded.kafka import MissingProgramError, java_path
from adapters.embedded.loopback import NoFreePortError, PortBook
from adapters.embedded.plan import DATABASE_KEY, KAFKA_KEY
from adapters.embedded.postgres import binaries
from penstock.connection import DatabaseConnection, KafkaConnection

PYTHON_MIN = (3, 11)
DISK_MIN_BYTES = 2_000_000_000
MEMORY_MIN_BYTES = 1_500_000_000
"""Broker 0.4 GB, database 0.2 GB, six services and workers under 0.1 GB each."""
OPEN_FILES_MIN = 4096
"""A broker holds some files for every partition and connection."""

TIMEOUT_S = 10.0

_INSTALL = "pip install 'penstock[embedded]'"
_FETCH = (
    "make Maven Central reachable once (or name a mirror in ~/.config/jgo.conf), copy the cache from"
    f" another machine, or set {KAFKA_KEY} to a running Kafka"
)


class Outcome(StrEnum):
    """What a check found."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True)
class Check:
    """One finding, with what to do about it when it is not good."""

    name: str
    outcome: Outcome
    detail: str
    remedy: str = ""


async def check_machine(environment: Mapping[str, str], data: Path) -> list[Check]:
    """Check everything that ``penstock up`` would need with this environment; never raises."""
    checks = [check_python(), check_disk(data), check_memory(), check_open_files(), check_ports()]
    waiting: list[Awaitable[Check]] = []
    if environment.get(KAFKA_KEY):
        waiting.append(check_given_kafka())
    else:
        waiting += [check_java(), check_jars(local_repository(environment))]
    waiting.append(check_given_database() if environment.get(DATABASE_KEY) else check_postgres())
    return [*checks, *await asyncio.gather(*waiting)]


def check_python() -> Check:
    """Check the version of the interpreter."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] >= PYTHON_MIN:
        return Check("Python", Outcome.GOOD, found)
    return Check("Python", Outcome.BAD, found, "install Python 3.11 or newer")


def check_disk(data: Path) -> Check:
    """Check the free space where the data directory is, or would be."""
    place = next(path for path in (data, *data.parents) if path.exists())
    free = shutil.disk_usage(place).free
    detail = f"{free / 1e9:.1f} GB free at {place}"
    if free >= DISK_MIN_BYTES:
        return Check("disk", Outcome.GOOD, detail)
    return Check("disk", Outcome.BAD, detail, "free 2 GB or choose another --data")


def check_memory(meminfo: Path = Path("/proc/meminfo")) -> Check:
    """Check the memory that programs can still get."""
    lines = dict(line.split(":", 1) for line in meminfo.read_text(encoding="ascii").splitlines())
    available = int(lines["MemAvailable"].split()[0]) * 1024
    detail = f"{available / 1e9:.1f} GB available"
    if available >= MEMORY_MIN_BYTES:
        return Check("memory", Outcome.GOOD, detail)
    return Check("memory", Outcome.BAD, detail, "end other programs: a pipeline takes about 1.5 GB")


def check_open_files() -> Check:
    """Check how many files a process may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = soft == resource.RLIM_INFINITY
    detail = "no limit" if unlimited else f"{soft} per process"
    if unlimited or soft >= OPEN_FILES_MIN:
        return Check("open files", Outcome.GOOD, detail)
    if hard == resource.RLIM_INFINITY or hard >= OPEN_FILES_MIN:
        return Check("open files", Outcome.WARNING, detail, f"ulimit -n {OPEN_FILES_MIN}")
    return Check("open files", Outcome.BAD, detail, f"ask for a hard limit of {OPEN_FILES_MIN} (ulimit -Hn)")


def check_ports() -> Check:
    """Check that a server can listen on the loopback address."""
    try:
        port = PortBook(None).port("probe")
    except NoFreePortError as error:
        return Check("ports", Outcome.BAD, str(error), "end programs that listen there")
    return Check("ports", Outcome.GOOD, f"127.0.0.1:{port} can be bound")


async def check_java() -> Check:
    """Check that the packaged JRE runs here."""
    return await _check_program("Java", java_path, "--version")


async def check_postgres() -> Check:
    """Check that the packaged Postgres runs here."""
    return await _check_program("Postgres", _postgres_path, "--version")


async def check_jars(repository: Path) -> Check:
    """Check that Kafka's jars are here, or that they can be fetched."""
    absent = missing(locked_jars(), repository)
    if not absent:
        return Check("Kafka jars", Outcome.GOOD, f"all in {repository}")
    detail = f"{len(absent)} of {len(locked_jars())} not in {repository} yet"
    try:
        host = urlsplit(import_module("jgo.constants").MAVEN_CENTRAL_URL).hostname
        async with asyncio.timeout(TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, 443)
            writer.close()
    except ImportError:
        return Check("Kafka jars", Outcome.BAD, "jgo is not installed", _INSTALL)
    except (OSError, TimeoutError):
        return Check("Kafka jars", Outcome.BAD, f"{detail}, and Maven Central does not answer", _FETCH)
    return Check("Kafka jars", Outcome.GOOD, f"{detail}; the first start fetches them (45 MB)")


async def check_given_kafka() -> Check:
    """Check that the Kafka named in the environment answers with these credentials."""
    bootstrap = "?"
    try:
        connection = KafkaConnection()
        bootstrap = connection.bootstrap
        client = AIOKafkaAdminClient(**connection.client_options())
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await client.start()
                topics = await client.list_topics()
        finally:
            await client.close()
    except (KafkaError, OSError, TimeoutError, ValueError) as error:
        remedy = f"start it, or mend {KAFKA_KEY} and its SASL/SSL settings, or unset it for an embedded one"
        return Check("Kafka", Outcome.BAD, f"{bootstrap}: {_words(error)}", remedy)
    return Check("Kafka", Outcome.GOOD, f"{bootstrap} answers, {len(topics)} topics")


async def check_given_database() -> Check:
    """Check that the Postgres named in the environment answers; the password is never shown."""
    try:
        connection = await psycopg.AsyncConnection.connect(
            DatabaseConnection().conninfo, connect_timeout=int(TIMEOUT_S)
        )
        async with connection:
            version = connection.info.server_version // 10_000
            place = f"{connection.info.host}:{connection.info.port}"
    except (psycopg.Error, ValueError) as error:
        remedy = f"start it, or mend {DATABASE_KEY}, or unset it for an embedded one"
        return Check("Postgres", Outcome.BAD, _words(error), remedy)
    return Check("Postgres", Outcome.GOOD, f"{place} answers, version {version}")


def _postgres_path() -> Path:
    return binaries() / "postgres"


async def _check_program(name: str, find: Callable[[], Path], argument: str) -> Check:
    try:
        process = await asyncio.create_subprocess_exec(
            find(), argument, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
    except (MissingProgramError, OSError) as error:
        return Check(name, Outcome.BAD, str(error), _INSTALL)
    first = output.decode(errors="replace").partition("\n")[0]
    if process.returncode == 0:
        return Check(name, Outcome.GOOD, first)
    remedy = "the packaged program does not run here (it needs glibc 2.28 or newer on Linux x86-64 or ARM64)"
    return Check(name, Outcome.BAD, f"exit code {process.returncode}: {first}", remedy)


def _words(error: BaseException) -> str:
    """Give the first line of an error, or its kind when it says nothing."""
    return str(error).partition("\n")[0] or type(error).__name__
