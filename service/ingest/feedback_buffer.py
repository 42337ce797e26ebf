"""Answers to decisions in micro-batches: after a push hundreds come at once, and each alone would be ten statements."""

from collections.abc import Sequence
from typing import Any, Final

from service.batching import Batcher, Limits
from service.store import feedback
from service.store.events import React
from service.store.feedback import Answered, Applied, Result

LIMITS: Final = Limits(waiting_max=2_048, batch_max=128)


class FeedbackBuffer:
    """One transaction for all that was told while the last one was in flight; another for those whom a token names."""

    def __init__(self, pool: Any, react: React) -> None:
        self._pool = pool
        self._react = react
        # Apart, since the people of a transaction are locked in one order.
        self._by_name: Batcher[Answered, Result] = Batcher("answers", self._apply, LIMITS)
        self._by_token: Batcher[Answered, Result] = Batcher("answers by token", self._apply, LIMITS)

    def open(self) -> None:
        """Starts the tasks that apply, on the running loop."""
        self._by_name.open()
        self._by_token.open()

    async def close(self) -> None:
        """Takes nothing more and returns when everything taken is applied or has failed."""
        await self._by_name.close()
        await self._by_token.close()

    async def submit(self, told: Answered) -> Applied:
        """Returns when the answer is applied, durably.

        Raises:
            NoSuchDecision: the person is unknown or has no such decision.
            NoSuchSlot: nothing was offered in that slot.
            ApiError: 403 when the caller may not speak for this person; 503 when too many wait, the worker stops, or PostgreSQL does
                not answer (then it may be applied or not, and to tell it again is right in both cases).
        """
        batcher = self._by_token if isinstance(told.who, int) else self._by_name
        result = await batcher.submit(told)
        if isinstance(result, Exception):
            raise result
        return result

    async def _apply(self, batch: Sequence[Answered]) -> list[Result]:
        async with self._pool.acquire() as connection, connection.transaction():
            return await feedback.apply_all(connection, batch, self._react)
