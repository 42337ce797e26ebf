"""POST /v1/events in one call: for the typed controller and for a fast lane alike."""

from collections.abc import Sequence
from typing import Final

from schema.event import BatchAnswer, EventProblem
from service import telemetry
from service.clock import Clock
from service.ingest import envelope
from service.ingest.buffer import EventBuffer
from service.ingest.checked import Outcome
from service.ingest.envelope import Rejected
from service.ingest.judge import Caller, Judged, judge, moment
from service.store import people
from service.store.offer_ids import OfferIds

_COUNTED: Final = [telemetry.EVENTS.labels(outcome) for outcome in ("accepted", "duplicate", "rejected")]


class Intake:
    """Where events come in. One object, since a handler with several dependencies costs twice as much."""

    def __init__(self, clock: Clock, offers: OfferIds, buffer: EventBuffer) -> None:
        self._clock = clock
        self._offers = offers
        self._buffer = buffer

    async def take(self, body: bytes, caller: Caller) -> BatchAnswer:
        """Judges and writes a batch, received now. Answers after the commit.

        Raises:
            ApiError: 400 or 413 for the envelope as a whole, 503 when it cannot be taken now.
        """
        judged = await self._judged(body, caller)
        del body  # a hundred requests wait for their commit
        outcomes = await self._buffer.submit(list(judged.accepted.values()))
        problems = judged.problems | _refused(judged, outcomes) if None in outcomes else judged.problems
        answer = BatchAnswer(
            accepted=outcomes.count(True),
            duplicates=outcomes.count(False),
            rejected=len(problems),
            errors=[problems[place] for place in sorted(problems)],
        )
        for counted, count in zip(_COUNTED, (answer.accepted, answer.duplicates, answer.rejected), strict=True):
            if count:
                counted.inc(count)
        return answer

    async def _judged(self, body: bytes, caller: Caller) -> Judged:
        """What of a batch may be written. Of what was decoded nothing is left: let go of at once its memory is taken again while it is in the caches."""
        now = await self._clock.now()
        opened = envelope.read(body)
        names = envelope.offer_names(opened.events)
        known = await self._offers.of(names) if names else {}
        return judge(opened.events, moment(opened.sent_at, now), caller, known)


def _refused(judged: Judged, outcomes: Sequence[Outcome]) -> dict[int, EventProblem]:
    why = people.refused()
    refusal = Rejected("/anonymous_id", why.code, why.detail)
    places = zip(judged.accepted, outcomes, strict=True)
    return {place: refusal.at(place) for place, outcome in places if outcome is None}
