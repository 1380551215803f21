"""The code of an earlier version, taken out of the history of this repository."""

import shutil
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.chaos.rig.command import CommandFailedError, run

ORIGIN = "419f4186abad41062f6233bfb093f642c8676e52"
"""Where an upgrade may come from: the oldest version that was walked by the model (``tests/model``). Those
before it may drop a retry for ever, when its dispatch reaches an executor before its decision; no newer
service mends that for them."""
PACKAGES = ("adapters", "core", "penstock", "ports", "schemas", "services")
REPOSITORY = Path(__file__).resolve().parents[3]


class NoHistoryError(Exception):
    """The commit is not there; the message says why."""


def require_history() -> None:
    """Find the commit.

    Raises
    ------
    NoHistoryError
        This is no clone, or one without the older commits.
    """
    try:
        run("git", "-C", str(REPOSITORY), "cat-file", "-e", f"{ORIGIN}^{{commit}}")
    except CommandFailedError as error:
        said = str(error).rpartition("fatal: ")[2]
        raise NoHistoryError(f"no commit {ORIGIN[:7]} in the history here: {said}") from error


class OldCode:
    """The packages of the earlier version, for processes that are given its ``environment``.

    Parameters
    ----------
    tree
        Where they are put; what was there before is removed.
    """

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir(parents=True)
        with TemporaryDirectory(dir=tree) as directory:
            archive = Path(directory) / "old.tar"
            run("git", "-C", str(REPOSITORY), "archive", "-o", str(archive), ORIGIN, *PACKAGES)
            with tarfile.open(archive) as packed:
                packed.extractall(tree, filter="data")

    @property
    def environment(self) -> dict[str, str]:
        """What a process has to be started with, so that it finds these packages before any others."""
        # Empty is not set: what was compiled shows what was imported.
        return {"PYTHONPATH": str(self._tree), "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": ""}

    def forget_imports(self, service: str) -> None:
        """Remove what imports of a service's modules have left behind."""
        shutil.rmtree(self._compiled(service), ignore_errors=True)

    def was_imported(self, service: str) -> bool:
        """Whether a process has imported the service's wiring from here since ``forget_imports``."""
        return any(self._compiled(service).glob("wiring.*.pyc"))

    def is_for(self, pid: int) -> bool:
        """Whether a process was started with this code before any other."""
        return f"PYTHONPATH={self._tree}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")

    def _compiled(self, service: str) -> Path:
        return self._tree / "services" / service / "__pycache__"
