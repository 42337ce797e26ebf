"""libcurl's multi interface on asyncio's event loop, for many transfers at a time.

pycurl brings an AsyncCurlMulti, which makes a future and some callbacks a transfer; of 100 µs a message those were 20. Here libcurl is
driven once for all that was added since, and what has ended is told transfer by transfer to one function.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pycurl

Ended = Callable[[pycurl.Curl, pycurl.error | None], None]


class CurlLoop:
    """Transfers of one event loop. `on_end` is told of each that ended; it may add others, which `drive` of the same turn begins."""

    def __init__(self, on_end: Ended) -> None:
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle | None = None
        self._timeout_ms: int | None = None
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._note_timeout)

    def setopt(self, option: int, value: int) -> None:
        """An option of the multi handle."""
        self._multi.setopt(option, value)

    def add(self, curl: pycurl.Curl) -> None:
        """Takes a transfer up; it begins at the next turn of the loop, together with all that are added before `arm`."""
        self._multi.add_handle(curl)

    def remove(self, curl: pycurl.Curl) -> None:
        """Breaks a transfer off."""
        self._multi.remove_handle(curl)

    def arm(self) -> None:
        """Sees to it that libcurl is called when it asked to be."""
        timeout_ms, self._timeout_ms = self._timeout_ms, None
        if timeout_ms is None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if timeout_ms == 0:
            self._timer = self._loop.call_soon(self._on_timeout)
        elif timeout_ms > 0:
            self._timer = self._loop.call_later(timeout_ms / 1000, self._on_timeout)

    def close(self) -> None:
        """Ends for good; transfers must have been removed."""
        if self._timer is not None:
            self._timer.cancel()
        self._multi.close()

    def _watch(self, what: int, fd: int, _multi: Any, _data: Any) -> None:
        if what in {pycurl.POLL_IN, pycurl.POLL_INOUT}:
            self._loop.add_reader(fd, self._drive, fd, pycurl.CSELECT_IN)
        else:
            self._loop.remove_reader(fd)
        if what in {pycurl.POLL_OUT, pycurl.POLL_INOUT}:
            self._loop.add_writer(fd, self._drive, fd, pycurl.CSELECT_OUT)
        else:
            self._loop.remove_writer(fd)

    def _note_timeout(self, timeout_ms: int) -> None:
        # Called in the midst of libcurl's own work, for each transfer that is added: the last one counts.
        self._timeout_ms = timeout_ms

    def _on_timeout(self) -> None:
        self._timer = None
        self._drive(pycurl.SOCKET_TIMEOUT, 0)

    def _drive(self, fd: int, mask: int) -> None:
        if self._multi.closed:
            return
        self._multi.socket_action(fd, mask)
        _, succeeded, failed = self._multi.info_read()
        for curl in succeeded:
            self._multi.remove_handle(curl)
            self._on_end(curl, None)
        for curl, code, text in failed:
            self._multi.remove_handle(curl)
            self._on_end(curl, pycurl.error(code, text))
        self.arm()
