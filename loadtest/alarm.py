"""A timer exact to some ten microseconds: those of asyncio and libuv count in whole milliseconds."""

import asyncio
import ctypes
import os
from collections.abc import Callable
from typing import Final

_CLOCK_MONOTONIC: Final = 1
_ABSOLUTE: Final = 1
_FLAGS: Final = os.O_NONBLOCK | os.O_CLOEXEC
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class _Spec(ctypes.Structure):
    """struct itimerspec: interval and first expiry, each in seconds and nanoseconds."""

    _fields_ = tuple((name, ctypes.c_long) for name in ("every_s", "every_ns", "at_s", "at_ns"))


class Alarm:
    """Calls `ring` on the running loop at the instants it is set to; Linux only (timerfd)."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._fd: int = _LIBC.timerfd_create(_CLOCK_MONOTONIC, _FLAGS)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._rang)

    def set(self, at: float) -> None:
        """Rings at `at`, in seconds of time.monotonic(); at once when that has passed. Replaces what was set before."""
        at_s = int(at)
        spec = _Spec(0, 0, at_s, max(1, int((at - at_s) * 1e9)))
        if _LIBC.timerfd_settime(self._fd, _ABSOLUTE, ctypes.byref(spec), None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def close(self) -> None:
        """Rings no more."""
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def _rang(self) -> None:
        os.read(self._fd, 8)
        self._ring()
