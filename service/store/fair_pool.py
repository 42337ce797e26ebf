"""A pool of connections that is fair: who has waited longest is served first.

asyncpg's own lets whoever comes in the instant in which a connection is given back take it before those who wait, and who was about to have it
waits again from the end of the queue: where each does several things one after the other, some wait for many times as long as others.
"""

import asyncio
from types import TracebackType
from typing import Any

import asyncpg


class FairPool(asyncpg.Pool):  # type: ignore[misc] # it has no types
    """To be used by `async with pool.acquire()`, or by its own `fetch` and `execute`."""

    def __init__(self, *connect_args: Any, max_size: int, **given: Any) -> None:
        """As asyncpg's."""
        super().__init__(*connect_args, max_size=max_size, **given)
        self._turns = asyncio.Semaphore(max_size)

    def acquire(self, *, timeout: float | None = None) -> "_Turn":
        """A connection for as long as the context is."""
        return _Turn(self._turns, super().acquire(timeout=timeout))


class _Turn:
    __slots__ = ("_acquiring", "_turns")

    def __init__(self, turns: asyncio.Semaphore, acquiring: Any) -> None:
        self._turns = turns
        self._acquiring = acquiring

    async def __aenter__(self) -> Any:
        await self._turns.acquire()
        try:
            return await self._acquiring.__aenter__()
        except BaseException:
            self._turns.release()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._acquiring.__aexit__(kind, error, trace)
        finally:
            self._turns.release()
