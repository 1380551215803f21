"""The jars of the embedded broker: a locked list, and where Maven's cache keeps them."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

LOCK_FILE = Path(__file__).with_name("kafka_jars.json")


class Jar(msgspec.Struct, frozen=True):
    """One artifact by its Maven coordinate, with what proves that it is that one."""

    group: str
    artifact: str
    version: str
    size_bytes: int
    sha256: str

    @property
    def file_name(self) -> str:
        """The name Maven gives the file."""
        return f"{self.artifact}-{self.version}.jar"

    def path(self, repository: Path) -> Path:
        """Where it stands in a Maven repository."""
        return repository.joinpath(*self.group.split("."), self.artifact, self.version, self.file_name)


def locked_jars() -> tuple[Jar, ...]:
    """Read the list: Kafka, everything it needs at run time, and a binding for its log."""
    return msgspec.json.decode(LOCK_FILE.read_bytes(), type=tuple[Jar, ...])


def local_repository(environment: Mapping[str, str]) -> Path:
    """Give Maven's cache of this user (``M2_REPO``, else ``~/.m2/repository``)."""
    given = environment.get("M2_REPO")
    return Path(given) if given else Path(environment.get("HOME", "~")).expanduser() / ".m2" / "repository"


def missing(jars: Iterable[Jar], repository: Path) -> list[Jar]:
    """List the jars that are absent or cut short.

    Cheap (one stat a jar), so it runs at every start; the content is checked after a download.
    """
    return [jar for jar in jars if _size(jar.path(repository)) != jar.size_bytes]


def class_path(jars: Iterable[Jar], repository: Path) -> str:
    """Join the paths as the JVM takes them."""
    return os.pathsep.join(str(jar.path(repository)) for jar in jars)


def is_intact(jar: Jar, repository: Path) -> bool:
    """Tell whether the file is there with exactly the locked content."""
    path = jar.path(repository)
    if _size(path) != jar.size_bytes:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
