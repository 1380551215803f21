"""Running a short command of the system and reading what it says."""

import subprocess

TIMEOUT_S = 60.0


class CommandFailedError(Exception):
    """A command did not succeed; the message holds what it printed."""


def run(*argv: str, timeout_s: float = TIMEOUT_S) -> str:
    """Run a command to its end and give its output.

    Raises
    ------
    CommandFailedError
        It is not installed, failed, or took too long.
    """
    try:
        done = subprocess.run(
            argv, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout_s
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandFailedError(f"{' '.join(argv)}: {error}") from error
    if done.returncode != 0:
        raise CommandFailedError(f"{' '.join(argv)}: exit code {done.returncode}: {done.stdout.strip()}")
    return done.stdout
