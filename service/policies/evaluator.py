"""Evaluations asked for over HTTP: one at a time, so that they take no more than one connection and a share of one processor."""

from datetime import datetime
from typing import Any, Final

from schema.policy_evaluation import EvaluationRequest
from service.errors import ApiError
from service.policies import promotion
from service.policies.promotion import Judged
from service.store.catalogue import CatalogueCache

RETRY_AFTER_S: Final = 10


class Evaluator:
    """Judges policies for this worker."""

    def __init__(self, pool: Any, catalogues: CatalogueCache) -> None:
        self._pool = pool
        self._catalogues = catalogues
        self._is_busy = False

    async def judge(self, name: str, ask: EvaluationRequest, now: datetime) -> Judged:
        """As `promotion.judge`. Raises ApiError 503 as well, while another evaluation runs in this worker."""
        if self._is_busy:
            raise ApiError(503, "overloaded", "Another evaluation is being made.", retry_after_s=RETRY_AFTER_S)
        self._is_busy = True
        try:
            async with self._pool.acquire() as connection:
                return await promotion.judge(connection, self._catalogues, name, ask, now)
        finally:
            self._is_busy = False
