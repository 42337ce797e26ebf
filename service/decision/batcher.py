"""In-app decisions in micro-batches: one read and one insert for all that came while the last batch was in flight."""

import asyncio
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import compress
from time import perf_counter
from typing import Any, Final, NamedTuple

from bandits.policies.model import Model
from schema.decision import Channel, DecisionRequest
from service import telemetry
from service.batching import RETRY_AFTER_S, UNREACHABLE, Batcher, Limits
from service.clock import Clock
from service.decision import pipeline, policy
from service.decision.ask import Ask, Decided
from service.decision.degraded import Degraded
from service.errors import ApiError
from service.store import decision_people, idempotency, people
from service.store.catalogue import Catalogue, CatalogueCache
from service.store.current_policy import PolicyCache
from service.store.current_snapshot import SnapshotCache
from service.store.decision_people import DecisionPerson
from service.store.idempotency import Answer, Attempt
from service.store.people import PersonKey, Speaker
from service.store.policies import InForce

_LOG: Final = telemetry.logger("decisions")

_IN_APP: Final = Channel.IN_APP  # to name a member of an Enum takes longer than what is done with it

ENTROPY_BYTES: Final = 10
"""Of each decision's id, and so of its draw."""

LIMITS: Final = Limits(waiting_max=2_048, batch_max=128)


class _Question(NamedTuple):
    speaker: Speaker
    request: DecisionRequest
    asked_at_s: float


class Kept(NamedTuple):
    """The answer that was kept first under an Idempotency-Key, and whether an earlier or simultaneous request had it."""

    answer: Answer
    is_replay: bool


class DecisionBatcher:
    """Takes requests for decisions and answers each when its batch has been logged."""

    def __init__(
        self,
        pool: Any,
        request_pool: Any,
        clock: Clock,
        catalogue: CatalogueCache,
        snapshot: SnapshotCache,
        policy: PolicyCache,
        degraded: Degraded | None = None,
    ) -> None:
        """Batches use connections of `pool`, and a request with an Idempotency-Key for what is its own those of `request_pool`."""
        self._pool = pool
        self._request_pool = request_pool
        self._clock = clock
        self._catalogue = catalogue
        self._snapshot = snapshot
        self._policy = policy
        self._degraded = degraded
        self._batcher: Batcher[_Question, Decided | ApiError | None] = Batcher("decisions", self._decide, LIMITS)

    def open(self) -> None:
        """Starts the task that decides, on the running loop."""
        self._batcher.open()

    async def close(self) -> None:
        """Takes nothing more and returns when everything taken is answered."""
        await self._batcher.close()

    async def submit(self, speaker: Speaker, request: DecisionRequest) -> Decided:
        """Decides for one person; returns when the decision is in PostgreSQL, or, while that does not answer, in the journal.

        Raises:
            ApiError: 403 when the caller may not speak for this person; 503 when too many wait, this worker stops, PostgreSQL does
                not answer, or no snapshot has been loaded yet.
        """
        return decided_of(await self.put(speaker, request))

    def put(self, speaker: Speaker, request: DecisionRequest) -> asyncio.Future[Decided | ApiError | None]:
        """As `submit`, for one who does not wait here: `decided_of` reads what comes. Raises ApiError 503."""
        if self._snapshot.current is None:
            raise _no_snapshot()
        return self._batcher.put(_Question(speaker, request, perf_counter()))

    async def submit_once(
        self, attempt: Attempt, speaker: Speaker, request: DecisionRequest, answer_of: Callable[[Decided], Answer]
    ) -> Kept:
        """The answer to an attempt with an Idempotency-Key: of two at once both decide, and get the answer that was kept first.

        No connection is held while the decision is waited for: those who wait could hold all that the batch needs.

        Raises:
            ApiError: as `submit`, and 422 when the key came with another request.
        """
        async with self._request_pool.acquire() as connection:
            kept = await idempotency.find(connection, attempt)
            if kept is not None:
                await people.find_for(connection, speaker)
                return Kept(kept, is_replay=True)
        ours = answer_of(await self.submit(speaker, request))
        now = await self._clock.now()
        async with self._request_pool.acquire() as connection:
            kept = await idempotency.keep_first(connection, attempt, ours, now)
        return Kept(kept or ours, is_replay=kept is not None)

    async def _decide(self, batch: Sequence[_Question]) -> Sequence[Decided | ApiError | None]:
        try:
            return await self._decided(batch)
        finally:
            now_s = perf_counter()
            telemetry.observe_all(telemetry.DECISION_SECONDS, [now_s - question.asked_at_s for question in batch])

    async def _decided(self, batch: Sequence[_Question]) -> Sequence[Decided | ApiError | None]:
        model = self._snapshot.current
        if model is None:
            raise _no_snapshot()
        now = await self._clock.now()
        degraded = self._degraded
        if degraded is None:
            return await self._decide_durably(batch, model, now)
        if not degraded.is_out:
            try:
                return await self._decide_durably(batch, model, now)
            except UNREACHABLE as error:
                degraded.failed()
                _LOG.warning("deciding from memory", error=type(error).__qualname__)
        in_force = self._policy.current

        def ask_of(request: DecisionRequest, catalogue: Catalogue) -> Ask:
            return _ask(request, catalogue, in_force, os.urandom(ENTROPY_BYTES))

        return await degraded.decide([question[:2] for question in batch], ask_of, self._catalogue.current, model, now)

    async def _decide_durably(self, batch: Sequence[_Question], model: Model, now: datetime) -> list[Decided | None]:
        async with self._pool.acquire() as connection:
            found = await self._identify(connection, {question.speaker.key for question in batch}, now)
            catalogue, in_force = self._catalogue.current, self._policy.current
            spoken_for = [speaker.speaks_for(found[speaker.key].known_as) for speaker, _, _ in batch]
            heard = list(compress(batch, spoken_for))
            entropy = os.urandom(ENTROPY_BYTES * len(heard))
            asked = [
                (_ask(request, catalogue, in_force, entropy[at : at + ENTROPY_BYTES]), found[speaker.key])
                for at, (speaker, request, _) in zip(range(0, len(entropy), ENTROPY_BYTES), heard, strict=True)
            ]
            decided = iter(await pipeline.decide(connection, asked, catalogue, model, now) if asked else ())
            return [next(decided) if is_spoken_for else None for is_spoken_for in spoken_for]

    async def _identify(self, connection: Any, keys: set[PersonKey], now: datetime) -> dict[PersonKey, DecisionPerson]:
        mark = self._degraded.known.mark() if self._degraded else 0
        found = await decision_people.by_key(connection, keys)
        if len(found.people) < len(keys):
            async with connection.transaction():
                await people.ensure(connection, keys, now)
            found = await decision_people.by_key(connection, keys)
        if self._degraded:
            self._degraded.known.remember(found.people, mark)
        if found.catalogue_version != self._catalogue.current.version:
            await self._catalogue.refresh(connection)
        return found.people


def decided_of(answer: Decided | ApiError | None) -> Decided:
    """What came of a question, raised where it was refused."""
    if isinstance(answer, ApiError):
        raise answer
    if answer is None:
        raise people.refused()
    return answer


def _ask(request: DecisionRequest, catalogue: Catalogue, in_force: InForce, entropy: bytes) -> Ask:
    known, offers = catalogue.index_by_external, catalogue.ids
    excluded = [int(offers[known[name]]) for name in request.exclude if name in known] if request.exclude else ()
    return Ask(
        request.placement,
        _IN_APP,
        policy.in_app_rules(request.slots, in_force),
        request.context,
        None,
        tuple(excluded),
        policy.HOLDOUT_SHARE,
        policy.CONTROL_SHARE,
        None,
        entropy,
    )


def _no_snapshot() -> ApiError:
    return ApiError(503, "unavailable", "No snapshot has been loaded yet.", retry_after_s=RETRY_AFTER_S)
