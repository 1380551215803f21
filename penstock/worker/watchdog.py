"""A worker's end when its executor cannot end it: kernel mechanisms that no user code can hold up."""

import ctypes
import os
import signal
import time

_PR_SET_PDEATHSIG = 1
_SIGEV_SIGNAL = 0
_TIMER_ABSTIME = 1


class _SigEvent(ctypes.Structure):
    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("pad", ctypes.c_char * 48),
    )


class _TimeSpec(ctypes.Structure):
    _fields_ = (("s", ctypes.c_long), ("ns", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when the thread that started it ends.

    A parent that ended before this call is noticed here, and the process exits at once.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(0)


class LeaseTimer:
    """Kills this process when its lease ends.

    A POSIX timer on CLOCK_BOOTTIME that sends SIGKILL: unlike ``setitimer`` it also counts while the
    machine is suspended, is not shared with a handler's own ``signal.alarm``, cannot be blocked or
    caught, and needs neither the GIL nor a running (not stopped) process. Renewing needs the GIL: a
    handler in native code that holds it for a whole lease loses its worker.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._timer = ctypes.c_void_p()
        event = _SigEvent(None, int(signal.SIGKILL), _SIGEV_SIGNAL, b"")
        made = self._libc.timer_create(time.CLOCK_BOOTTIME, ctypes.byref(event), ctypes.byref(self._timer))
        if made != 0:
            raise OSError(ctypes.get_errno(), "timer_create on CLOCK_BOOTTIME failed")

    def renew(self, until_s: float) -> None:
        """Let the process live until ``until_s`` (CLOCK_BOOTTIME seconds); a past time kills it now."""
        whole = int(until_s)
        value = _TimeSpec(whole, int((until_s - whole) * 1e9))
        spec = _TimerSpec(_TimeSpec(0, 0), value)
        if self._libc.timer_settime(self._timer, _TIMER_ABSTIME, ctypes.byref(spec), None) != 0:
            raise OSError(ctypes.get_errno(), "timer_settime failed")
