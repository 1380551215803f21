"""Starts a program that must not outlive its parent: ``launch.py PARENT SIGNAL USER COMMAND...``.

Run as ``python -I -S`` so that it costs a few milliseconds. It becomes the program (``exec``), so
pid, group and open files are the program's own. A program between fork and exec of a threaded
parent would be unsafe; a process of its own is not.
"""

import ctypes
import os
import pwd
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Drop to the user (``-``: keep), ask for the signal at the parent's death, become the program."""
    parent, death_signal, user, *command = arguments
    if user != "-":
        account = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    # After the change of user, which would clear it.
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != int(parent):
        sys.exit("the parent died before the program started")
    os.execvp(command[0], command)  # noqa: S606 - becoming the program is the purpose


if __name__ == "__main__":
    main(sys.argv[1:])
