"""POST /v1/events: what apps and tills report."""

from collections.abc import Coroutine
from functools import partial
from typing import Any, Final

import msgspec
from litestar import Controller, Request, Response, post
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from schema.event import BATCH_BYTES_MAX, BatchAnswer, WrittenBatch
from service.guards import Principal, speaker_of
from service.ingest.intake import Intake
from service.ingest.judge import Caller
from service.routes.acting import response_of
from service.routes.call import Call, Reply, call_of
from service.store.idempotency import Answer

PATH: Final = "/v1/events"
OPT: Final = {"scope": "sdk", "sk_scope": "ingest", "body_bytes_max": BATCH_BYTES_MAX, "body": WrittenBatch}


_ENCODER: Final = msgspec.json.Encoder()


def _caller_of(principal: Principal) -> Caller:
    """What a key allows with events."""
    return Caller(
        is_secret=principal.kind == "sk",
        may_backfill=principal.may("ingest"),
        acts_as=partial(speaker_of, principal),
    )


def take(intake: Intake, call: Call) -> Coroutine[Any, Any, Reply]:
    """POST /v1/events, for the typed controller and for the fast lane alike; awaited it raises ApiError."""
    return _reply(intake.take(call.body, _caller_of(call.principal)))


async def _reply(taken: Coroutine[Any, Any, BatchAnswer]) -> Reply:
    return Reply(Answer(200, _ENCODER.encode(await taken)))


class EventController(Controller):
    """Takes events in batches."""

    path = PATH
    tags = ("events",)
    opt = OPT

    @post(status_code=200)
    async def take(
        self, request: Request[Any, Any, Any], intake: NamedDependency[SkipValidation[Intake]]
    ) -> Response[BatchAnswer]:
        """Judges every event by itself, writes the good ones, and answers after the commit.

        The body is `{sent_at, batch: [event, …]}` with at most 500 events and 512 kB. An event sent twice with the same
        event_id within seven days is a duplicate. When sent_at is more than 30 s off our clock, the same difference is
        added to each occurred_at. Events older than 7 days are refused (400 days for a secret key), and those of the future.
        A tag that no offer has is made known by an event of a secret key; from a publishable key's events it is left out.
        """
        reply = await take(intake, await call_of(request))
        return response_of(reply.answer, is_replay=reply.is_replay)
