"""Downloads the locked jars through jgo: ``python -m adapters.embedded.fetch_jars``.

A process of its own, so that an interrupted start can kill it and the supervisor stays small.
Several may run at once: they take turns at a lock beside the cache.
"""

import fcntl
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jgo.config import GlobalSettings
from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import MavenContext

from adapters.embedded.jars import Jar, is_intact, local_repository, locked_jars

PARALLEL = 6
"""Downloads at once; a repository answers each in well under a second."""

TIMEOUT_S = 60


class JarMismatchError(Exception):
    """A downloaded jar is not the locked one; nobody retries: mirror or lock is wrong."""


def fetch(repository: Path) -> int:
    """Bring every locked jar into the repository; give how many were downloaded.

    Raises
    ------
    JarMismatchError
        The repository served something else than the lock says; the file is removed.
    RuntimeError, OSError
        The repository cannot be reached; run it again with a network.
    """
    repository.mkdir(parents=True, exist_ok=True)
    with (repository / ".penstock.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = [jar for jar in locked_jars() if not is_intact(jar, repository)]
        context = MavenContext(
            repo_cache=repository,
            remote_repos={"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories},
            timeout=TIMEOUT_S,
        )
        with ThreadPoolExecutor(PARALLEL) as pool:
            for _ in pool.map(lambda jar: _download(context, jar, repository), wanted):
                pass
    return len(wanted)


def _download(context: MavenContext, jar: Jar, repository: Path) -> None:
    # jgo writes in place: what an interrupted download left is neither reused nor resumed.
    jar.path(repository).unlink(missing_ok=True)
    context.project(jar.group, jar.artifact).at_version(jar.version).artifact(packaging="jar").resolve()
    if not is_intact(jar, repository):
        jar.path(repository).unlink(missing_ok=True)
        raise JarMismatchError(f"{jar.group}:{jar.artifact}:{jar.version} is not the locked jar")


def main() -> int:
    """Fetch into this user's Maven cache; exit code 1 with a message when that fails."""
    repository = local_repository(os.environ)
    try:
        count = fetch(repository)
    except (JarMismatchError, RuntimeError, OSError) as error:
        sys.stderr.write(f"cannot fetch the jars of Kafka into {repository}: {error}\n")
        return 1
    sys.stdout.write(f"{count} jars fetched into {repository}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
