"""An OAuth access token, fetched ahead of its end by one caller at a time, in a thread."""

import asyncio
import time
from collections.abc import Callable

_MARGIN_S = 300.0  # Google's tokens live an hour
_PAUSE_S = 10.0  # between two attempts, whether the last failed or its token was refused at once


class AccessToken:
    """The bearer token of a service account.

    `fetch` blocks, and returns the token and its life in seconds; what it raises reaches those who wait for it.
    Lives in real time: leases and tokens know no virtual clock.
    """

    def __init__(self, fetch: Callable[[], tuple[str, float]]) -> None:
        self._fetch = fetch
        self._token = ""
        self._fresh_until = 0.0
        self._valid_until = 0.0
        self._tried_at = -_PAUSE_S
        self._refresh: asyncio.Task[None] | None = None

    async def current(self) -> str:
        """A valid token. Near its end it is renewed behind the caller's back; only without a valid one callers wait."""
        now = time.monotonic()
        if now < self._fresh_until:
            return self._token
        if now < self._valid_until:
            if now - self._tried_at >= _PAUSE_S:
                self._start()
            return self._token
        await asyncio.shield(self._start())
        return self._token

    async def replace(self, refused: str) -> str | None:
        """Another token than the one the service refused; none if that one was fetched only just now."""
        if self._token != refused:
            return self._token
        if self._refresh is None and time.monotonic() - self._tried_at < _PAUSE_S:
            return None
        await asyncio.shield(self._start())
        return self._token

    async def close(self) -> None:
        """Wait for a refresh under way: its thread cannot be stopped."""
        if self._refresh is not None:
            await asyncio.wait([self._refresh])

    def _start(self) -> asyncio.Task[None]:
        if self._refresh is None:
            self._tried_at = time.monotonic()
            self._refresh = asyncio.create_task(self._renew())
            self._refresh.add_done_callback(self._settle)
        return self._refresh

    async def _renew(self) -> None:
        token, life_s = await asyncio.to_thread(self._fetch)
        now = time.monotonic()
        self._token = token
        self._valid_until = now + life_s
        self._fresh_until = self._valid_until - min(_MARGIN_S, life_s / 2)

    def _settle(self, refresh: asyncio.Task[None]) -> None:
        self._refresh = None
        if not refresh.cancelled():
            refresh.exception()  # marks it as seen: nobody may be waiting for it
