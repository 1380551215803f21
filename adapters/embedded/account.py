"""The system account that Postgres runs as when the supervisor is root."""

import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path

ACCOUNT = "pgserver"
"""Also the name the packaged server itself uses."""

FALLBACK = "nobody"

_ENTER = stat.S_IXOTH
_READ = stat.S_IROTH


def server_account() -> str | None:
    """Give the account for the server: None unless root; made on first use where that is possible."""
    if os.geteuid() != 0:
        return None
    if not _exists(ACCOUNT):
        _create()
    return ACCOUNT if _exists(ACCOUNT) else FALLBACK


def own(path: Path, account: str | None) -> None:
    """Give a file or directory to the account; nothing happens for None."""
    if account is not None:
        entry = pwd.getpwnam(account)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def let_in(directory: Path) -> None:
    """Let any account pass through a directory and those above it (enter, not list)."""
    for level in (directory, *directory.resolve().parents):
        _allow(level, _ENTER)


def let_read(tree: Path) -> None:
    """Let any account read and run an installed tree; one that is open at its top is left alone."""
    let_in(tree)
    if tree.stat().st_mode & _READ:
        return
    for inner in (tree, *tree.rglob("*")):
        runs = inner.is_dir() or os.access(inner, os.X_OK)
        _allow(inner, _READ | _ENTER if runs else _READ)


def _allow(path: Path, bits: int) -> None:
    mode = path.stat().st_mode
    if mode & bits != bits:
        path.chmod(stat.S_IMODE(mode) | bits)


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _create() -> None:
    program = shutil.which("useradd")
    if program is None:
        return
    # A second start may create it first: the caller looks again instead of trusting the exit code.
    subprocess.run(
        [program, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", ACCOUNT],
        check=False,
        capture_output=True,
    )
