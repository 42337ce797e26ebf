"""In-app decisions while PostgreSQL does not answer: for people whose row is remembered, into a journal that is imported when it is back.

The draw is the same as ever, by the last snapshot and catalogue, under the masks of the remembered row; what has an end is left out, for
nothing can be promised. Push is never decided so.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from bandits.policies.model import Model
from service import telemetry
from service.batching import RETRY_AFTER_S
from service.decision import pipeline
from service.decision.ask import Ask, Decided
from service.decision.known_people import KnownPeople
from service.errors import ApiError
from service.store import journal_import, people
from service.store.catalogue import Catalogue
from service.store.decision_people import DecisionPerson
from service.store.journal import Journal, files
from service.store.people import Speaker
from service.store.pool import LOST
from service.store.pulse import Pulse

LOOK_EVERY_S: Final = 0.25

_LOG: Final = telemetry.logger("degraded")

AskOf = Callable[[Any, Catalogue], Ask]


class Degraded:
    """What a decision batcher turns to when PostgreSQL does not answer. `pulse` tells it whether it does, and who has changed."""

    def __init__(self, pool: Any, pulse: Pulse, data_dir: Path) -> None:
        self._pool = pool
        self._pulse = pulse
        self._data_dir = data_dir
        self._journal = Journal(data_dir)
        self._writing = asyncio.Lock()
        self._has_failed = False
        self.known = KnownPeople()
        pulse.hear(people.CHANNEL, lambda user_id: self.known.has_changed(int(user_id)), self.known.forget_all)

    @property
    def is_out(self) -> bool:
        """Whether PostgreSQL is known not to answer: to ask it first would only cost time."""
        if self._pulse.is_felt:
            self._has_failed = False
        return self._has_failed

    def failed(self) -> None:
        """Told by whom PostgreSQL did not answer."""
        self._has_failed = True

    async def decide(
        self, batch: Sequence[tuple[Speaker, Any]], ask_of: AskOf, catalogue: Catalogue, model: Model, now: datetime
    ) -> list[Decided | ApiError | None]:
        """Decides for those who are remembered; 503 for the others, None for a speaker who may not speak for them.

        Raises:
            OSError: the journal is full, or cannot be written.
        """
        candidates = _plentiful(catalogue)
        answers: list[Decided | ApiError | None] = [None] * len(batch)
        asked: dict[int, tuple[Ask, DecisionPerson]] = {}
        for place, (speaker, request) in enumerate(batch):
            person = self.known.get(speaker.key)
            if person is None:
                answers[place] = _not_remembered()
            elif speaker.speaks_for(person.known_as):
                asked[place] = replace(ask_of(request, catalogue), candidates=candidates), person
        decided = await self._logged(list(asked.values()), catalogue, model, now)
        for place, one in zip(asked, decided, strict=True):
            answers[place] = replace(one, is_degraded=True)
        return answers

    async def _logged(
        self, asked: list[tuple[Ask, DecisionPerson]], catalogue: Catalogue, model: Model, now: datetime
    ) -> list[Decided]:
        if not asked:
            return []
        async with self._writing:
            decided = await pipeline.decide(self._journal, asked, catalogue, model, now)
        telemetry.DEGRADED_DECISIONS.inc(len(decided))
        return decided

    async def bring_in(self) -> None:
        """Imports what this process, or one that died, has decided without PostgreSQL, whenever that answers; until cancelled."""
        while True:
            try:
                waiting = await asyncio.to_thread(files, self._data_dir)
                if waiting and self._pulse.is_felt:
                    await self._import()
            except LOST as error:
                _LOG.warning("the journal is imported later", error=type(error).__name__)
            except Exception:  # noqa: BLE001 - whatever it is, what was decided stays in its file, and the next look may find it mended
                telemetry.FAILURES.labels("journal").inc()
                _LOG.exception("the journal could not be imported")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _import(self) -> None:
        async with self._writing:
            self._journal.seal()
        async with self._pool.acquire() as connection:
            imported = await journal_import.import_all(connection, self._data_dir)
        if imported:
            _LOG.warning("decisions made without the database are in it now", decisions=imported)


def _not_remembered() -> ApiError:
    detail = "The database does not answer at the moment, and this person is not remembered; try again."
    return ApiError(503, "unavailable", detail, retry_after_s=RETRY_AFTER_S)


@lru_cache(maxsize=2)
def _plentiful(catalogue: Catalogue) -> tuple[int, ...] | None:
    """Ids of the offers without an end; None for all."""
    return tuple(catalogue.ids[~catalogue.is_limited].tolist()) if catalogue.has_limits else None
