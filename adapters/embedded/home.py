"""The data directory of an embedded pipeline: where everything stands, and who may use it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class HomeInUseError(Exception):
    """Another supervisor runs on this directory; a person stops it or names another one."""


@dataclass(frozen=True)
class Home:
    """Paths inside one data directory.

    Parameters
    ----------
    root
        Absolute path of the directory; everything the pipeline keeps is below it.
    """

    root: Path

    @property
    def logs(self) -> Path:
        """One log file a process."""
        return self.root / "logs"

    @property
    def env_file(self) -> Path:
        """``KEY=VALUE`` lines with the addresses; holds the password and the models' key, mode 0600."""
        return self.root / "penstock.env"

    @property
    def model_key_file(self) -> Path:
        """The key that signs models, mode 0600."""
        return self.root / "model.key"

    @property
    def state_file(self) -> Path:
        """What runs, for ``down`` and for the next start."""
        return self.root / "state.json"

    @property
    def lock_file(self) -> Path:
        """Held by the running supervisor."""
        return self.root / "lock"

    @property
    def ports_file(self) -> Path:
        """Ports that were chosen, by purpose."""
        return self.root / "ports.json"

    @property
    def kafka(self) -> Path:
        """Configuration and log directory of the embedded broker."""
        return self.root / "kafka"

    @property
    def postgres(self) -> Path:
        """Data directory of the embedded database."""
        return self.root / "postgres"

    def log(self, name: str) -> Path:
        """Where the output of the process ``name`` goes."""
        return self.logs / f"{name}.log"

    def create(self) -> None:
        """Make the directories that are missing."""
        self.logs.mkdir(parents=True, exist_ok=True)


@contextmanager
def exclusive(home: Home) -> Iterator[None]:
    """Hold the directory for the life of the block; the kernel frees it when the process dies.

    Raises
    ------
    HomeInUseError
        Another process holds it.
    """
    descriptor = os.open(home.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HomeInUseError(
                f"a pipeline already runs in {home.root}; stop it with"
                f" `penstock down --data {home.root}` or choose another --data"
            ) from None
        yield
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file so that a reader, or a crash, meets the old or the new content, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
    temporary.replace(path)
